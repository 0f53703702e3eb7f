"""The exact objects of a run: as the golden files have them, and as the published schemas of Kubernetes want them."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.conftest import REPOSITORY
from toolkit.dry_run import as_yaml
from toolkit.targets.kubernetes import manifest, parcel
from toolkit.targets.kubernetes.manifest import Wanted

GOLDEN = Path(__file__).parent / "golden"
RELEASES = ("1.27", "1.31", "1.34", "1.37")
NAME = manifest.object_name("digits_1790000000_0a1b2c3d", 1, "/home/ada/runs/digits_1790000000_0a1b2c3d")
PLAIN = Wanted(
    name=NAME,
    settings={},
    labels={"app.kubernetes.io/managed-by": "toolkit", "toolkit.run": NAME, "toolkit.workspace": "w0123fedcba"},
    annotations={"toolkit.run-id": "digits_1790000000_0a1b2c3d", "toolkit.attempt": "1"},
    image="registry.example.com/team/toolkit-env@sha256:" + "ab" * 32,
    command=["/opt/env/bin/python", "-I", "-S", "-c", "…", "/toolkit-parcel", "/toolkit"],
    parcel=[NAME, "toolkit-code-0123-0", "toolkit-sources-4567-0", "toolkit-sources-4567-1"],
)
EVERYTHING = {
    "namespace": "training",
    "gpus": 2,
    "disk": "50g",
    "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "service_account": "trainer",
    "image_pull_secrets": ["registry-login"],
    "priority_class": "batch-high",
    "queue": "team",
    "volumes": {"datasets": "/data", "scratch": "/scratch"},
    "folder": "/scratch/runs",
    "user": 0,
}
CASES = {
    "plain": PLAIN,
    "everything": replace(PLAIN, settings=EVERYTHING, memory=16 << 30, cpus=3.5, shm=8 << 30, max_seconds=3600),
    "nodes": replace(PLAIN, settings={"namespace": "training", "gpus": 8}, nodes=4, memory=64 << 30),
}


@pytest.mark.parametrize("case", CASES)
def test_manifests_are_the_golden_ones(case: str) -> None:
    file = GOLDEN / f"{case}.yaml"
    text = as_yaml(manifest.manifests(CASES[case]))
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text()


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("case", CASES)
def test_manifests_fit_the_published_schemas(case: str, release: str) -> None:
    for document in yaml.safe_load_all((GOLDEN / f"{case}.yaml").read_text()):
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize("release", RELEASES)
def test_secrets_fit_the_published_schemas(release: str) -> None:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": NAME, "uid": "0a-1b"}
    made = parcel.secret("toolkit-code-0123-0", {"a.json": b"{}"}, {"labels": {"a": "b"}, "ownerReferences": [owner]})
    kubernetes_validate.validate(made, release, strict=True)


def test_the_schemas_refuse_what_is_wrong() -> None:
    (job,) = manifest.manifests(PLAIN)
    job["spec"]["template"]["spec"]["terminationGracePeriod"] = 5
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, RELEASES[-1], strict=True)


def _documents_of(text: str) -> list[Any]:
    """The YAML documents in the fenced blocks of a page."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    found = [document for block in blocks for document in yaml.safe_load_all(block)]
    return [document for document in found if isinstance(document, dict) and "apiVersion" in document]


@pytest.mark.parametrize("release", RELEASES)
def test_what_the_documentation_shows_fits_the_published_schemas(release: str) -> None:
    documents = _documents_of((REPOSITORY / "docs" / "kubernetes.md").read_text())
    assert {"Role", "RoleBinding", "ServiceAccount", "PersistentVolumeClaim"} <= {one["kind"] for one in documents}
    for document in documents:
        kubernetes_validate.validate(document, release, strict=True)


@pytest.mark.parametrize(
    "run_id",
    ["a", "digits_1790000000_0a1b2c3d", "Ünïcode näme_1790000000_0a1b2c3d", "-_-", "x" * 200 + "_1_2", "9-lives"],
)
def test_names_are_labels_of_dns(run_id: str) -> None:
    first, second = (manifest.object_name(run_id, attempt, f"/runs/{run_id}") for attempt in (1, 2))
    assert first != second and first == manifest.object_name(run_id, 1, f"/runs/{run_id}")
    for name in (first, second):
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert len(f"{name}-9999-abcde") <= 63, "a pod's name adds its index and five letters"


@pytest.mark.parametrize("text", ["digits", "two words", "ü", "x" * 100, "-a-", ""])
def test_labels_take_any_experiment(text: str) -> None:
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", manifest.label_value(text))


def test_nothing_secret_is_in_the_manifests() -> None:
    """Variables of a run are in its Secret; a Job has only what differs from node to node."""
    for case in CASES.values():
        (container,) = manifest.manifests(case)[0]["spec"]["template"]["spec"]["containers"]
        assert {one["name"] for one in container["env"]} <= {
            "TOOLKIT_NODE_COUNT", "TOOLKIT_NODE_RANK", "MASTER_ADDR", "MASTER_PORT",
        }  # fmt: skip
