"""Compute targets as control scripts of SDK v1 find, create and watch them."""

from __future__ import annotations

import json

import pytest

from tests.conftest import Submit, wait_until
from toolkit import Experiment, ScriptRunConfig, Workspace, gpus
from toolkit.compute import (
    AmlCompute,
    AmlComputeStatus,
    ComputeInstance,
    ComputeTarget,
    ComputeTargetException,
    RemoteCompute,
    default_target,
)
from toolkit.compute_sizes import gpus_of
from toolkit.gpus import Gpu

WORDS = "AmlCompute wait for completion finished\n\nMinimum number of nodes requested have been provisioned\n"


def create(workspace: Workspace, name: str = "cpucluster", size: str = "STANDARD_D2_V2", **options: int) -> AmlCompute:
    made = ComputeTarget.create(workspace, name, AmlCompute.provisioning_configuration(vm_size=size, **options))
    assert isinstance(made, AmlCompute)
    return made


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """As on a machine with so many GPUs."""
    there = [Gpu(f"GPU-{number}", str(number), "a GPU", 2**30) for number in range(count)]
    monkeypatch.setattr(gpus, "find", lambda: there)


class TestTheCreationIdiom:
    def test_find_or_create(self, workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
        name = "my-cluster"
        with pytest.raises(ComputeTargetException) as caught:
            ComputeTarget(workspace=workspace, name=name)
        assert str(caught.value).startswith(
            "ComputeTargetNotFound: Compute Target with name my-cluster not found in provided workspace"
        )
        asked = AmlCompute.provisioning_configuration(vm_size="STANDARD_D2_V2", min_nodes=0, max_nodes=2)
        made = ComputeTarget.create(workspace, name, asked)
        assert made.wait_for_completion(show_output=True, min_node_count=None, timeout_in_minutes=20) is None  # type: ignore[call-arg,func-returns-value]
        assert capsys.readouterr().out == "Creating\nSucceeded\n" + WORDS
        found = ComputeTarget(workspace=workspace, name=name)
        assert type(found) is AmlCompute and (found.type, found.kind, found.name) == ("AmlCompute", "local", name)
        found.wait_for_completion(show_output=True)
        assert capsys.readouterr().out == "Succeeded\n" + WORDS
        found.wait_for_completion()
        assert capsys.readouterr().out == "", "only where it is asked for"
        assert workspace.compute_targets[name].type == "AmlCompute"
        assert workspace.configuration.compute_targets[name] == {"type": "local", "slots": 2}

    def test_runs_go_there_while_the_agent_lives(self, workspace: Workspace, submit: Submit) -> None:
        submit("print('first')").wait_for_completion()  # an agent that knew nothing of the pool
        made = create(workspace, max_nodes=2)
        pool = [submit("import time; time.sleep(60)", compute_target=made) for _ in range(3)]
        wait_until(lambda: [run.get_status() for run in pool].count("Running") == 2)
        status = made.get_status()
        assert status.node_state_counts["runningNodeCount"] == status.current_node_count == 2
        assert [node["nodeState"] for node in made.list_nodes()] == ["running", "running"]
        assert {node["runId"] for node in made.list_nodes()} < {run.id for run in pool}
        assert {run.id for run in made.get_active_runs()} == {run.id for run in pool}
        assert {run.id for run in made.get_active_runs(status="Running")} != {run.id for run in pool}
        made.update(max_nodes=3)
        submit("pass")  # whatever wakes the agent
        wait_until(lambda: [run.get_status() for run in pool] == ["Running"] * 3)

    def test_creating_it_again_changes_it(self, workspace: Workspace) -> None:
        create(workspace, max_nodes=2)
        assert create(workspace, max_nodes=5).scale_settings.maximum_node_count == 5
        assert workspace.configuration.slots("cpucluster") == 5

    def test_the_workspace_s_own_file_goes_before(
        self, workspace: Workspace, capsys: pytest.CaptureFixture[str]
    ) -> None:
        made = create(workspace, "cpu-cluster", max_nodes=7)
        assert workspace.configuration.slots("cpu-cluster") == 1 and made.name == "cpu-cluster"
        assert "'cpu-cluster' is as" in capsys.readouterr().err
        for change in (made.delete, lambda: made.update(max_nodes=2)):
            with pytest.raises(ComputeTargetException, match=r"'cpu-cluster' is named in .*workspace.yaml"):
                change()

    def test_delete(self, workspace: Workspace, submit: Submit) -> None:
        made = create(workspace)
        run = submit("import time; time.sleep(1)", compute_target="cpucluster")
        wait_until(lambda: run.get_status() == "Running")
        made.delete()
        assert "cpucluster" not in workspace.compute_targets
        assert run.wait_for_completion()["status"] == "Completed", "its runs go on"
        with pytest.raises(ComputeTargetException, match="ComputeTargetNotFound"):
            submit("pass", compute_target="cpucluster")


def test_status(workspace: Workspace) -> None:
    made = create(workspace, min_nodes=1, max_nodes=4, idle_seconds_before_scaledown=120)
    status = made.get_status()
    shown = status.serialize()
    assert json.loads(json.dumps(shown)) == shown
    assert shown["scaleSettings"] == {"minNodeCount": 1, "maxNodeCount": 4, "nodeIdleTimeBeforeScaleDown": "PT120S"}
    assert shown["nodeStateCounts"] == {
        "preparingNodeCount": 0, "runningNodeCount": 0, "idleNodeCount": 1,
        "unusableNodeCount": 0, "leavingNodeCount": 0, "preemptedNodeCount": 0,
    }  # fmt: skip
    assert (shown["allocationState"], shown["provisioningState"], shown["errors"]) == ("Steady", "Succeeded", None)
    assert (shown["currentNodeCount"], shown["targetNodeCount"]) == (1, 1)
    assert (shown["vmPriority"], shown["vmSize"]) == ("Dedicated", "STANDARD_D2_V2")
    assert AmlComputeStatus.deserialize(shown) == status == made.status
    assert (made.provisioning_state, made.provisioning_errors, made.vm_size) == ("Succeeded", None, "STANDARD_D2_V2")
    assert made.serialize()["properties"]["computeType"] == "AmlCompute"


def test_four_nodes_where_none_are_named(workspace: Workspace) -> None:
    assert create(workspace).scale_settings.maximum_node_count == 4


class TestGpuSizes:
    @pytest.mark.parametrize(
        ("size", "count"),
        [
            ("STANDARD_NC6", 1), ("Standard_NC24s_v3", 4), ("standard_nd40rs_v2", 8), ("STANDARD_NV12", 2),
            ("Standard_NC99_v9", 1), ("STANDARD_D2_V2", 0), ("Standard_DS3_v2", 0), ("Standard_E4s_v3", 0),
        ],
    )  # fmt: skip
    def test_how_many_a_size_has(self, size: str, count: int) -> None:
        assert gpus_of(size) == count

    def test_each_run_has_them(self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
        with_gpus(monkeypatch, 8)
        create(workspace, "gpu-cluster", "STANDARD_NC24", max_nodes=2)
        assert workspace.configuration.compute_targets["gpu-cluster"] == {"type": "local", "slots": 2, "gpus": 4}

    def test_fewer_than_the_size_has(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with_gpus(monkeypatch, 1)
        create(workspace, "gpu-cluster", "STANDARD_NC24")
        assert workspace.configuration.compute_targets["gpu-cluster"]["gpus"] == 1
        assert "STANDARD_NC24 has 4 GPUs, and this machine has 1: each run" in capsys.readouterr().err

    def test_none(
        self, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, submit: Submit, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with_gpus(monkeypatch, 0)
        made = create(workspace, "gpu-cluster", "STANDARD_NC6")
        said = "toolkit: STANDARD_NC6 has 1 GPU, and this machine has none: the runs of 'gpu-cluster' use the CPU\n"
        assert capsys.readouterr().err == said
        assert submit("print('on the CPU')", compute_target=made).wait_for_completion()["status"] == "Completed"


@pytest.mark.parametrize("name", ["a", "a" * 17, "my_cluster", "my cluster", "-a", "../up", "", None, 3])
def test_names_that_are_refused(name: str, workspace: Workspace) -> None:
    with pytest.raises(ComputeTargetException, match="2 to 16 characters, letters, digits and hyphens"):
        create(workspace, name)
    assert not workspace.paths.compute.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vm_size": ""}, "vm_size is missing"),
        ({"vm_priority": "cheap"}, "vm_priority is 'cheap'"),
        ({"max_nodes": -1}, "max_nodes is -1"),
        ({"min_nodes": 3, "max_nodes": 2}, "min_nodes is 3, above max_nodes"),
        ({"max_nodes": "two"}, "max_nodes is 'two'"),
    ],
)
def test_configurations_that_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ComputeTargetException, match=message):
        AmlCompute.provisioning_configuration(**{"vm_size": "STANDARD_D2_V2", **options})  # type: ignore[arg-type]


def test_numbers_of_environment_variables_are_text() -> None:
    asked = AmlCompute.provisioning_configuration(
        "STANDARD_D2_V2", min_nodes="1", max_nodes="3", idle_seconds_before_scaledown="300"  # type: ignore[arg-type]
    )  # fmt: skip
    assert (asked.min_nodes, asked.max_nodes, asked.idle_seconds_before_scaledown) == (1, 3, 300)


def test_what_azure_alone_knows_is_taken() -> None:
    asked = AmlCompute.provisioning_configuration(
        vm_size="STANDARD_D2_V2", vnet_resourcegroup_name="g", vnet_name="v", subnet_name="s"
    )  # fmt: skip
    assert asked.azure["subnet_name"] == "s"


def test_a_machine_over_ssh_is_attached_and_detached(workspace: Workspace) -> None:
    asked = RemoteCompute.attach_configuration(
        username="me", address="gpu-box", ssh_port="2222", private_key_file="~/.ssh/id_rsa"  # type: ignore[arg-type]
    )  # fmt: skip
    made = ComputeTarget.attach(workspace, "vm", asked)
    made.wait_for_completion(show_output=True)
    settings = {"type": "ssh", "host": "me@gpu-box", "port": 2222, "key_file": "~/.ssh/id_rsa"}
    assert workspace.configuration.compute_targets["vm"] == settings
    assert isinstance(made, RemoteCompute) and made.is_attached and made.kind == "ssh"
    assert (made.username, made.address, made.ssh_port) == ("me", "gpu-box", 2222)
    assert isinstance(workspace.compute_targets["vm"], RemoteCompute)
    made.detach()
    assert "vm" not in workspace.configuration.compute_targets
    assert RemoteCompute.attach(workspace, "vm", "me", "gpu-box").name == "vm"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"password": "geheim"}, r"with a password: .*`ssh-copy-id me@gpu-box`"),
        ({"private_key_passphrase": "geheim"}, "with a passphrase: .* ssh-agent"),
        ({"address": "", "vm_name": "vm1"}, "'vm1' cannot be attached without its address"),
        ({"ssh_port": 0}, "its port is 0; it must be a whole number from 1"),
        ({"username": "-oProxyCommand=id"}, "its host is '-oProxyCommand=id@gpu-box'"),
        ({"address": "two words"}, "its host is 'me@two words'"),
    ],
)
def test_machines_that_cannot_be_attached(options: dict[str, object], message: str, workspace: Workspace) -> None:
    given: dict[str, object] = {"username": "me", "address": "gpu-box", **options}
    with pytest.raises(ComputeTargetException, match=message) as caught:
        ComputeTarget.attach(workspace, "vm", RemoteCompute.attach_configuration(**given))  # type: ignore[arg-type]
    assert "geheim" not in str(caught.value)
    assert not workspace.paths.compute.exists()


def test_only_a_machine_of_another_name_is_attached(workspace: Workspace) -> None:
    with pytest.raises(ComputeTargetException, match=r"a compute target 'local' in .* already"):
        RemoteCompute.attach(workspace, "local", "me", "gpu-box")
    with pytest.raises(ComputeTargetException, match=r"takes what RemoteCompute\.attach_configuration"):
        ComputeTarget.attach(workspace, "vm", object())


def test_a_compute_instance_is_a_pool_of_one(workspace: Workspace) -> None:
    made = ComputeTarget.create(workspace, "mine", ComputeInstance.provisioning_configuration(vm_size="STANDARD_D2_V2"))
    assert type(made) is ComputeInstance and made.scale_settings.maximum_node_count == 1
    assert type(ComputeTarget(workspace, "mine")) is ComputeInstance


def test_the_default_targets(workspace: Workspace) -> None:
    cpu, gpu = default_target(workspace, "CPU"), default_target(workspace, "GPU")
    assert (cpu and cpu.name, gpu and gpu.name) == ("cpu-cluster", "gpu")
    workspace.paths.configuration.write_text("compute_targets: {local: {type: local}}\n")
    assert default_target(workspace, "GPU") is None


def test_a_broken_file_is_named(workspace: Workspace) -> None:
    create(workspace)
    (workspace.paths.compute / "cpucluster.json").write_text("{")
    with pytest.raises(Exception, match=r"cpucluster\.json"):
        Experiment(workspace, "e").submit(ScriptRunConfig(".", "nothing.py"))


def test_sizes_are_listed(workspace: Workspace) -> None:
    names = {size["name"]: size["gpus"] for size in AmlCompute.supported_vmsizes(workspace)}
    assert names["Standard_NC6"] == 1 and names["Standard_D2_V2"] == 0
