"""Decisions and refusals: solved for real, nothing installed."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.rig import torch_pair
from toolkit.environments import channels
from toolkit.environments.lock import Lock
from toolkit.environments.solve import solve
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.store import Store
from toolkit.errors import EnvironmentBuildError

TORCH = torch_pair.torch_wheel()
needs_torch = pytest.mark.skipif(TORCH is None, reason=torch_pair.why_not())


def _solve(spec: EnvironmentSpec, place: Store, gpu: bool = False) -> tuple[Lock, str]:
    log: list[str] = []
    return solve(spec, gpu, log.append, place, place.building), "\n".join(log)


def test_python_and_pip_need_no_channel(place: Store) -> None:
    spec = EnvironmentSpec(("file:///nonexistent",), ("python", "pip=23"), ("iniconfig==2.0.0", "azureml-core"))
    lock, log = _solve(spec, place)
    assert "iniconfig==2.0.0 \\\n    --hash=sha256:" in lock.requirements
    assert "pip==23." in lock.requirements
    assert "the conda part needs no channel" in log and "left out azureml-core" in log
    assert Lock.from_dict(lock.to_dict()) == lock and len(lock.hash) == 32


def test_uv_s_words_where_pip_packages_contradict(place: Store) -> None:
    with pytest.raises(EnvironmentBuildError) as caught:
        _solve(EnvironmentSpec(pip=("pytest==8.0.0", "pluggy==0.1")), place)
    message = str(caught.value)
    assert message.startswith("the pip packages cannot be solved; uv says:")
    assert "pytest==8.0.0 depends on pluggy" in message and "Change the pins" in message


def test_no_channel_answers(place: Store) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # nobody listens there
        closed_channel = f"http://127.0.0.1:{closed.getsockname()[1]}/channel"
        spec = EnvironmentSpec((closed_channel, "file:///nonexistent"), ("python", "toml=0.10"), ("iniconfig",))
        lock, log = _solve(spec, place)
    assert "toml==0.10" in lock.requirements
    assert lock.substitutions == (("toml=0.10", "toml==0.10.*"),)
    assert "Connection refused) does not answer" in log
    assert "no conda channel answers: taking the conda packages from PyPI" in lock.notices
    assert "conda's 'toml=0.10' is taken from PyPI as 'toml==0.10.*'" in lock.notices
    with pytest.raises(EnvironmentBuildError, match="the folder /nonexistent does not exist"):
        _solve(EnvironmentSpec(("file:///nonexistent",), ("toml",), package_source="conda"), place)


def test_a_part_of_the_channels_is_not_enough(place: Store, channel: Path) -> None:
    spec = EnvironmentSpec((channel.as_uri(), "file:///nonexistent"), ("greeting",))
    with pytest.raises(EnvironmentBuildError, match="these conda channels do not answer: file:///nonexistent"):
        _solve(spec, place)


def test_channel_names() -> None:
    assert channels.names(("pytorch", "defaults", "nodefaults", "pytorch")) == ("pytorch", "main", "r")
    assert channels.names(()) == ("conda-forge",)


def test_from_a_channel(place: Store, channel: Path) -> None:
    spec = EnvironmentSpec((channel.as_uri(),), ("greeting=1.1",), ("greeting>=1", "iniconfig"))
    lock, log = _solve(spec, place)
    assert [package.name for package in lock.conda] == ["greeting", "python"]
    assert all(len(package.sha256) == 64 and package.size for package in lock.conda)
    assert "greeting" not in lock.requirements  # conda brings it
    assert lock.python.path == ""
    assert f"source: the conda channels {channel.as_uri()}" in log


def test_conda_s_versions_bind_the_pip_part(place: Store, channel: Path) -> None:
    with pytest.raises(EnvironmentBuildError, match=r"greeting==1\.2\.0"):
        _solve(EnvironmentSpec((channel.as_uri(),), ("greeting=1.2",), ("greeting<1.2",)), place)


def test_the_solver_s_words_where_conda_packages_contradict(place: Store, channel: Path) -> None:
    with pytest.raises(EnvironmentBuildError) as caught:
        _solve(EnvironmentSpec((channel.as_uri(),), ("greeting=9",)), place)
    assert "the solver says:" in str(caught.value) and "No candidates were found for greeting" in str(caught.value)


@needs_torch
def test_torch_alone_is_the_cpu_build(place: Store) -> None:
    lock, log = _solve(EnvironmentSpec(pip=("torch",)), place)
    assert lock.torch is not None and lock.torch.variant == "cpu"
    assert "+cpu" in lock.requirements and "nvidia-" not in lock.requirements
    assert "(cpu): there is no GPU: from the find-links folder" in log


@needs_torch
def test_torch_for_a_gpu_is_never_a_cpu_build(place: Store) -> None:
    assert TORCH is not None
    version = TORCH.name.split("-")[1].split("+")[0]
    lock, _ = _solve(EnvironmentSpec(pip=(f"torch=={version}",)), place, gpu=True)
    assert "+cpu" not in lock.requirements
    assert lock.torch is not None and lock.torch.variant == "cuda"


@needs_torch
def test_torch_and_torchvision_are_of_one_build(place: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU torch from a folder and PyPI's torchvision, as uv would take them, cannot be imported together."""
    assert TORCH is not None
    monkeypatch.setenv("PIP_FIND_LINKS", str(TORCH.parent))
    version = TORCH.name.split("-")[1].split("+")[0]
    lock, _ = _solve(EnvironmentSpec(pip=(f"torch=={version}", "torchvision")), place)
    assert lock.torch is not None
    assert lock.requirements.count("+cpu") == (2 if lock.torch.variant == "cpu" else 0)


@needs_torch
def test_find_links_of_pip_count_beside_those_of_the_specification(
    place: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An option on uv's command line hides the variable of the same meaning."""
    assert TORCH is not None
    monkeypatch.setenv("PIP_FIND_LINKS", str(TORCH.parent))
    name, version = TORCH.name.split("-")[:2]
    lock, _ = _solve(EnvironmentSpec(pip=(f"--find-links {tmp_path}", f"{name}=={version}")), place)
    assert f"{name}=={version}" in lock.requirements


@needs_torch
def test_torch_as_the_user_pinned_it(place: Store) -> None:
    assert TORCH is not None
    version = TORCH.name.split("-")[1]
    lock, _ = _solve(EnvironmentSpec(pip=(f"torch=={version}",)), place, gpu=True)
    assert lock.torch is not None and lock.torch.variant == "cpu" and "asks for it" in lock.torch.reason
