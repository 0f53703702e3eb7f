"""What cannot work on a cluster is refused at submit, in a sentence that says what to do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Submit
from tests.rig.kubernetes_api import Cluster
from tests.targets.kubernetes.conftest import InPods
from toolkit import ComputeTargetException, Environment, Experiment, ScriptRunConfig, Workspace, dry_run
from toolkit.errors import EngineUnreachable
from toolkit.targets.engine_state import NODE_LOST, OUT_OF_MEMORY, PREEMPTED
from toolkit.targets.kubernetes import checks, words
from toolkit.targets.registry import check

IMAGE = {"base_image": "debian:bookworm-slim", "image_registry": "registry.example.com/team"}
ENVIRONMENT: dict[str, Any] = {"image": IMAGE, "specification": {"conda": ["python=3.11"], "pip": []}}


def refusal(settings: dict[str, Any], **definition: Any) -> str:
    with pytest.raises(ComputeTargetException) as refused:
        checks.check("cluster", settings, {"environment": ENVIRONMENT, **definition})
    return str(refused.value)


def test_images_need_a_registry() -> None:
    environment = {**ENVIRONMENT, "image": {**IMAGE, "image_registry": ""}}
    assert "set image_registry" in refusal({}, environment=environment)


def test_a_base_as_it_is_comes_from_its_own_registry() -> None:
    image = {"base_image": "registry.example.com/base:1", "image_registry": ""}
    assert checks.check("cluster", {}, {"environment": {"image": image, "specification": None}}) == []


def test_inputs_of_this_machine_need_a_claim_under_their_path() -> None:
    entry = {"mode": "mount", "files": {"sources": [{"root": "/data/images", "path": "/train"}]}}
    definition = {"data": {"inputs": {"images": entry}}, "environment": ENVIRONMENT}
    assert "lies at /data/images/train" in refusal({}, **definition)
    assert "lies at /data/images/train" in refusal({"volumes": {"datasets": "/data/im"}}, **definition)
    assert checks.check("cluster", {"volumes": {"datasets": "/data"}}, definition) == []


def test_a_table_that_the_script_reads_needs_a_claim_too(toolkit_home: Path) -> None:
    def table(**source: str) -> dict[str, Any]:
        entry = {"mode": "direct", "definition": {"sources": [source]}}
        return {"data": {"inputs": {"tab": entry}}, "environment": ENVIRONMENT, "workspace": "test"}

    for source in ({"path": "/data/a.csv"}, {"datastore": "workspaceblobstore", "path": "a.csv"}):
        assert "which the script reads itself, and scripts on the compute target" in refusal({}, **table(**source))
    assert checks.check("cluster", {"volumes": {"datasets": "/data"}}, table(path="/data/a.csv")) == []
    assert checks.check("cluster", {}, table(url="https://example.org/a.csv")) == []


def test_outputs_are_uploaded() -> None:
    entry = {"mode": "mount", "source": None, "globs": None}
    assert "as_upload()" in refusal({}, data={"outputs": {"model": entry}})
    definition = {"data": {"outputs": {"model": {**entry, "mode": "upload"}}}, "environment": ENVIRONMENT}
    assert checks.check("cluster", {}, definition) == []


def test_the_folder_of_runs_is_on_a_volume() -> None:
    assert "on none of its volumes" in refusal({"folder": "/data/runs", "volumes": {"scratch": "/scratch"}})


def test_what_is_not_followed_is_said() -> None:
    docker = {"arguments": ["--privileged", "--cap-add", "SYS_ADMIN", "--shm-size", "8g"]}
    (options,) = checks.check("cluster", {}, {"environment": {**ENVIRONMENT, "docker": docker}})
    assert "cap_add, privileged not used" in options


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("namespace", "Not A Name"), ("volumes", {"claim": "relative"}), ("volumes", ["/data"]), ("user", -1),
        ("tolerations", [{"unknown": 1}]), ("node_selector", ["gpu"]), ("memory", "much"), ("gpu_resource", "a b"),
        ("image_pull_secrets", "one"), ("folder", "runs"),
    ],
)  # fmt: skip
def test_settings_are_checked(workspace: Workspace, setting: str, value: object) -> None:
    path = workspace.paths.configuration
    path.write_text(yaml.safe_dump({"compute_targets": {"cluster": {"type": "kubernetes", setting: value}}}))
    with pytest.raises(ComputeTargetException, match=f"has {setting} .*; it must be "):
        check("cluster", workspace.configuration, path)


def test_nothing_is_written_for_a_run_that_is_refused(submit: Submit, workspace: Workspace) -> None:
    path = workspace.paths.configuration
    path.write_text("\n".join(line for line in path.read_text().splitlines() if "image_registry" not in line))
    environment = Environment("plain")
    with pytest.raises(ComputeTargetException, match="set image_registry"):
        submit("print(1)", compute_target="wide", environment=environment)
    assert not workspace.paths.runs.exists() or not os.listdir(workspace.paths.runs)


class TestDryRun(InPods):
    def test_the_manifests_are_shown_and_nothing_is_written(self, workspace: Workspace, tmp_path: Any) -> None:
        (tmp_path / "train.py").write_text("print(1)")
        options: Any = {**self.options(), "compute_target": "queued"}
        text = dry_run.plan(Experiment(workspace, "tests"), ScriptRunConfig(str(tmp_path), "train.py", **options))
        (job,) = yaml.safe_load_all(text)
        assert job["spec"]["suspend"] and job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
        assert not workspace.paths.runs.exists() or not os.listdir(workspace.paths.runs)
        assert not self.cluster.store.objects


def _pod(**status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "a"}, "spec": {"nodeName": "n1"}, "status": status}


def _terminated(code: int, reason: str) -> list[dict[str, Any]]:
    return [{"state": {"terminated": {"exitCode": code, "reason": reason}}}]


@pytest.mark.parametrize(
    ("pod", "cause"),
    [
        (_pod(phase="Failed", reason="Evicted", message="low on memory"), NODE_LOST),
        (_pod(phase="Failed", reason="NodeLost"), NODE_LOST),
        (_pod(phase="Failed", containerStatuses=_terminated(137, "OOMKilled")), OUT_OF_MEMORY),
        (_pod(phase="Failed", containerStatuses=_terminated(1, "Error")), ""),
        (_pod(phase="Succeeded", containerStatuses=_terminated(0, "Completed")), ""),
    ],
)
def test_why_a_pod_ended(pod: dict[str, Any], cause: str) -> None:
    assert words.of({}, pod).cause == cause


@pytest.mark.parametrize(
    ("reason", "cause"),
    [("PreemptionByScheduler", PREEMPTED), ("DeletionByTaintManager", NODE_LOST), ("TerminationByKubelet", NODE_LOST)],
)
def test_why_a_pod_is_disrupted(reason: str, cause: str) -> None:
    conditions = [{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": "why"}]
    pod = _pod(phase="Failed", conditions=conditions, containerStatuses=_terminated(143, "Error"))
    said = words.of({}, pod)
    assert (said.cause, said.reason, said.message, said.code) == (cause, reason, "why", 143)


def test_what_a_pod_waits_for() -> None:
    waiting = [{"state": {"waiting": {"reason": "ErrImagePull", "message": "denied"}}}]
    assert words.of({}, _pod(phase="Pending", containerStatuses=waiting)).cannot
    scheduled = [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes"}]
    said = words.of({}, _pod(phase="Pending", conditions=scheduled))
    assert (said.state, said.reason, said.message, said.cannot) == ("Pending", "Unschedulable", "0/3 nodes", False)


def test_what_a_job_without_pods_says() -> None:
    failed = {"status": {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}}
    assert words.of(failed, None).state == "Failed"
    assert words.of({"spec": {"suspend": True}}, None).state == "Suspended"
    assert words.of(None, None).state == "Gone"


def test_the_doctor_sees_the_cluster(workspace: Workspace, cluster: Cluster) -> None:
    settings = workspace.configuration.compute_targets["cluster"]
    assert "namespace training" in checks.examine("cluster", settings)
    cluster.away = True
    with pytest.raises(EngineUnreachable):
        checks.examine("cluster", settings)
