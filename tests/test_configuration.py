"""`workspace.yaml`: what it may say, and what is said of what it may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import ComputeTargetException, UserErrorException, configuration
from toolkit.configuration import WorkspaceConfiguration
from toolkit.targets import registry


def load(tmp_path: Path, text: str) -> WorkspaceConfiguration:
    path = tmp_path / "workspace.yaml"
    path.write_text(text)
    return configuration.load(path)


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(UserErrorException) as caught:
        load(tmp_path, text)
    assert str(tmp_path / "workspace.yaml") in str(caught.value), "the message names the file"
    return str(caught.value)


def test_a_new_workspace_starts_with_the_defaults(tmp_path: Path) -> None:
    configuration.write_template(tmp_path / "workspace.yaml")
    assert configuration.load(tmp_path / "workspace.yaml") == WorkspaceConfiguration()
    assert WorkspaceConfiguration().snapshot_limit_mb == 300
    assert [*WorkspaceConfiguration().compute_targets] == ["local", "cpu-cluster", "gpu", "docker"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "tracking_uri:\nsnapshot_limit_mb:\n"])
def test_what_is_not_said_is_the_default(text: str, tmp_path: Path) -> None:
    assert load(tmp_path, text) == WorkspaceConfiguration()


def test_a_missing_file_is_the_default(tmp_path: Path) -> None:
    assert configuration.load(tmp_path / "workspace.yaml") == WorkspaceConfiguration()


def test_what_is_said_counts(tmp_path: Path) -> None:
    found = load(
        tmp_path,
        "tracking_uri: http://mlflow.example.com\nsnapshot_limit_mb: 0.5\npackage_source: pypi\n"
        "image_registry: registry.example.com/team\n"
        "agent_idle_seconds: 1\ncancel_grace_seconds: 0\ncompute_targets:\n  big: {type: local, slots: 8}\n",
    )
    assert found == WorkspaceConfiguration(
        tracking_uri="http://mlflow.example.com",
        snapshot_limit_mb=0.5,
        package_source="pypi",
        image_registry="registry.example.com/team",
        compute_targets={"big": {"type": "local", "slots": 8}},
        agent_idle_seconds=1,
        cancel_grace_seconds=0,
    )


def test_broken_yaml(tmp_path: Path) -> None:
    message = refused(tmp_path, "tracking_uri: [\n")
    assert "is not valid YAML" in message and "line 2" in message and "Mend it there" in message


def test_unsafe_yaml_is_not_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    message = refused(tmp_path, f"tracking_uri: !!python/object/apply:os.mkdir ['{made}']\n")
    assert "could not determine a constructor" in message and not made.exists()


def test_text_that_is_no_utf8(tmp_path: Path) -> None:
    path = tmp_path / "workspace.yaml"
    path.write_bytes(b"tracking_uri: \xff\xfe\n")
    with pytest.raises(UserErrorException, match="is not valid YAML"):
        configuration.load(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("traking_uri: x\n", "unknown key traking_uri; known are tracking_uri, snapshot_limit_mb, package_source"),
        ("3: x\nb: y\n", "unknown key 3, b; known are"),
        ("- a list\n", "must hold a mapping with the keys tracking_uri, snapshot_limit_mb"),
        ("just text\n", "must hold a mapping"),
        ("tracking_uri: 5\n", "tracking_uri is 5; it must be text"),
        ("package_source: npm\n", "package_source is 'npm'; it can be auto, conda or pypi"),
        ("snapshot_limit_mb: -1\n", "snapshot_limit_mb is -1; it must be a number, 0 or more"),
        ("snapshot_limit_mb: 300 MB\n", "snapshot_limit_mb is '300 MB'; it must be a number"),
        ("snapshot_limit_mb: .nan\n", "snapshot_limit_mb is nan; it must be a number"),
        ("agent_idle_seconds: true\n", "agent_idle_seconds is True; it must be a number"),
        ("cancel_grace_seconds: []\n", "cancel_grace_seconds is []; it must be a number"),
        ("compute_targets: [local]\n", "compute_targets must be a mapping of names to settings"),
        ("compute_targets: {mine: {slots: 1}}\n", "compute target 'mine' needs a type, as in mine: {type: local}"),
        ("compute_targets: {mine: local}\n", "compute target 'mine' needs a type"),
        ("image_registry: https://me:secret@registry.example.com\n", "and without credentials: `docker login` keeps"),
        ("image_registry: 5\n", "image_registry is 5; it must be text, as in registry.example.com/team"),
    ],
)
def test_what_cannot_be(text: str, words: str, tmp_path: Path) -> None:
    assert words in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "{local: {type: cloud}}",
            "has the type 'cloud', which is not offered; the types are: docker, kubernetes, local, ray, slurm, ssh",
        ),
        ("{local: {type: local, shares: none}}", "shares the slots of 'none', which is not a target with slots of its"),
        ("{local: {type: local, shares: local}}", "which is not a target with slots of its own; mend it in "),
        ("{other: {type: local}}", "ComputeTargetNotFound: Compute Target with name local not found in provided work"),
        (
            "{local: {type: local, slotz: 2}}",
            "has the unknown setting slotz; known are gpus, max_retries, retry_on, shares, slots, type. Mend it in",
        ),
        ("{local: {type: [local]}}", "which is not offered; the types are: docker, kubernetes, local"),
        ("{local: {type: local, slots: many}}", "has slots 'many'; it must be a whole number, 1 or more"),
        ("{local: {type: local, slots: 0}}", "has slots 0; it must be a whole number, 1 or more"),
        ("{local: {type: local, slots: true}}", "has slots True; it must be a whole number, 1 or more"),
        (
            "{local: {type: local, shares: b}, b: {type: local, slots: x}}",
            "target 'b' has slots 'x'; it must be a whole",
        ),
        ("{local: {type: local, gpus: 0}}", "has gpus 0; it must be a whole number, 1 or more: the GPUs that each"),
        (
            "{local: {type: local, memory: 8g}}",
            "has the unknown setting memory; known are gpus, max_retries, retry_on, shares, slots, type",
        ),
        ("{local: {type: docker, memory: much}}", "has memory 'much'; it must be a size, as in 8g. Mend it in"),
        ("{local: {type: docker, memory: 0}}", "has memory 0; it must be a size, as in 8g"),
        ("{local: {type: docker, cpus: -1}}", "has cpus -1; it must be a number above 0, as in 2.5"),
        ("{local: {type: docker, volumes: /data}}", "has volumes '/data'; it must be a list of folders, as in [/data"),
        ("{local: {type: docker, volumes: [data]}}", "has volumes ['data']; it must be a list of folders"),
        (
            "{local: {type: docker, network: []}}",
            "has network []; it must be host, bridge, none or the name of a network",
        ),
    ],
)
def test_targets_that_cannot_work(text: str, words: str, tmp_path: Path) -> None:
    found = load(tmp_path, f"compute_targets: {text}\n")
    with pytest.raises(ComputeTargetException) as caught:
        registry.check("local", found, tmp_path / "workspace.yaml")
    assert words in str(caught.value) and str(tmp_path / "workspace.yaml") in str(caught.value)
