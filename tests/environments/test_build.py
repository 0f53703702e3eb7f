"""Building for real: uv, rattler, processes that are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.rig import conda_channel
from toolkit.environments import kept_locks
from toolkit.environments.build import ensure
from toolkit.environments.key import lock_key
from toolkit.environments.lock import Lock, Python
from toolkit.environments.request import Request
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.store import MARKER, Prefix, Store, find
from toolkit.errors import EnvironmentBuildError, StorageError

PURE = EnvironmentSpec(conda=("python", "pip"), pip=("iniconfig", "pygments"))
SMALL = EnvironmentSpec(pip=("iniconfig",))


def _request(spec: EnvironmentSpec) -> Request:
    return Request(spec.key(), spec)


def _ensure(spec: EnvironmentSpec, log: Callable[[str], None]) -> Prefix:
    prefix = ensure(_request(spec), log)
    assert isinstance(prefix, Prefix)
    return prefix


def _start(spec: EnvironmentSpec, tmp_path: Path, log: Path) -> subprocess.Popen[bytes]:
    file = tmp_path / "request.json"
    file.write_text(json.dumps({"name": "rig", "variables": {}, **_request(spec).to_dict()}))
    words = ["-m", "toolkit.environments.build", "--request", str(file), "--log", str(log)]
    return subprocess.Popen([sys.executable, *words])


def _run(prefix: Prefix, *words: str) -> str:
    environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([prefix.python, *words], capture_output=True, text=True, check=True, env=environ)
    return done.stdout.strip()


def _wait_for(what: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while not (log.exists() and what in log.read_text()):
        assert time.monotonic() < deadline, f"'{what}' never came"
        time.sleep(0.005)


def test_build_and_find_again(place: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    log = tmp_path / "log.txt"
    assert find(PURE.key()) is None
    assert _start(PURE, tmp_path, log).wait() == 0
    text = log.read_text()
    for words in ("interpreter: Python", "source: PyPI", "Installed", "seconds: solve", "environment ready"):
        assert words in text
    prefix = find(PURE.key())
    assert prefix is not None and prefix.kind == "venv"
    assert set(prefix.seconds) == {"solve", "install"}
    assert _run(prefix, "-c", "import sys; print(sys.prefix)") == prefix.root
    bytecode = Path(_run(prefix, "-c", "import iniconfig; print(iniconfig.__cached__)"))
    wait_until(bytecode.is_file)  # written beside the first run
    script = Path(prefix.bin, "pygmentize")
    assert subprocess.run([script, "-V"], capture_output=True, text=True, check=True).stdout.startswith("Pygments")
    assert "pip" in _run(prefix, "-m", "pip", "--version")
    assert not [path for path in place.building.iterdir() if path.is_dir()]
    scripts = [path for path in Path(prefix.bin).iterdir() if path.is_file()]
    assert not any(str(place.building).encode() in script.read_bytes() for script in scripts)

    said: list[str] = []
    assert _ensure(PURE, log=said.append) == prefix
    assert said == [f"the environment is there already: {prefix.root}"]


def test_finding_imports_nothing_heavy(place: Store) -> None:
    code = (
        "import sys; from toolkit.environments.store import find; find('0' * 64);"
        "heavy = {'yaml', 'rattler', 'packaging', 'asyncio', 'uv'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_two_at_once_share_one_build(place: Store, tmp_path: Path) -> None:
    logs = [tmp_path / "1.txt", tmp_path / "2.txt"]
    processes = [_start(SMALL, tmp_path, log) for log in logs]
    assert [process.wait() for process in processes] == [0, 0]
    texts = [log.read_text() for log in logs]
    assert sum("Installed" in text for text in texts) == 1
    waited = next(text for text in texts if "Installed" not in text)
    assert "another process is building this environment" in waited and "there now" in waited


def test_different_specifications_with_one_lock_share_a_prefix(place: Store) -> None:
    log: list[str] = []
    first = _ensure(SMALL, log=log.append)
    second = _ensure(EnvironmentSpec(conda=("python",), pip=("iniconfig>0",)), log=log.append)
    assert first == second
    assert sum("Installed" in line for line in log) == 1


@pytest.mark.parametrize("moment", ["solved in", "Using Python", "Installed"])
def test_killed_at_any_moment(place: Store, tmp_path: Path, moment: str) -> None:
    log = tmp_path / "log.txt"
    process = _start(PURE, tmp_path, log)
    _wait_for(moment, log)
    process.kill()
    process.wait()
    unfinished = find(PURE.key()) is None
    assert unfinished or moment == "Installed"  # little is left to do then: on a busy machine before the kill
    left = [path for path in place.building.iterdir() if path.is_dir()]
    assert left or moment != "Using Python"  # before it may not be made yet, and after it be in its place already
    lines: list[str] = []
    prefix = _ensure(PURE, log=lines.append)
    if left:
        assert any("removing what a build that ended early has left" in line for line in lines)
    assert _run(prefix, "-c", "import pygments; print(1)") == "1"
    assert not [path for path in place.building.iterdir() if path.is_dir()]


def test_terminated(place: Store, tmp_path: Path) -> None:
    log = tmp_path / "log.txt"
    process = _start(PURE, tmp_path, log)
    _wait_for("solved in", log)
    process.terminate()
    assert process.wait() == 128 + signal.SIGTERM
    assert "stopped by SIGTERM" in log.read_text().splitlines()[-1]
    assert json.loads(place.error(PURE.key()).read_text())["message"] == "the build was stopped by SIGTERM"
    assert not [path for path in place.building.iterdir() if path.is_dir()]


def test_a_failure_is_told(place: Store, tmp_path: Path) -> None:
    spec, log = EnvironmentSpec(pip=("no-such-package-at-all-12345",)), tmp_path / "log.txt"
    assert _start(spec, tmp_path, log).wait() == 1
    message = json.loads(place.error(spec.key()).read_text())["message"]
    assert "no-such-package-at-all-12345 was not found" in message
    assert log.read_text().rstrip().endswith(message.rstrip())


def test_a_prefix_that_lost_its_marker_is_made_again(place: Store) -> None:
    log: list[str] = []
    prefix = _ensure(SMALL, log=log.append)
    Path(prefix.root, MARKER).unlink()
    assert find(SMALL.key()) is None
    assert _ensure(SMALL, log=log.append) == prefix
    assert any("taking the lock that this specification came to before" in line for line in log)


def test_conda_prefix_with_a_pip_section(place: Store, channel: Path) -> None:
    spec = EnvironmentSpec((channel.as_uri(),), ("python", "greeting=1.2"), ("iniconfig", "greeting", "pygments"))
    log: list[str] = []
    prefix = _ensure(spec, log=log.append)
    assert prefix.kind == "conda"
    code = "import sys, greeting, iniconfig; print(sys.prefix, greeting.__version__)"
    assert _run(prefix, "-c", code) == f"{prefix.root} 1.2.0"
    for script, words in (("greet", "good day"), ("pygmentize", "usage")):
        done = subprocess.run([Path(prefix.bin, script), "-h"], capture_output=True, text=True, check=True)
        assert words in done.stdout
    assert Path(prefix.root, "share/where.txt").read_text() == f"{prefix.root}/share\n"
    wait_until(Path(_run(prefix, "-c", "import greeting; print(greeting.__cached__)")).is_file)


def test_a_corrupted_conda_package_is_refused(place: Store, channel: Path, tmp_path: Path) -> None:
    changed = conda_channel.copy(channel, tmp_path / "channel")
    conda_channel.corrupt(next(changed.glob("noarch/greeting-1.2.0*")))
    with pytest.raises(EnvironmentBuildError, match="is not the one that its channel lists: its sha256 is"):
        _ensure(EnvironmentSpec((changed.as_uri(),), ("greeting=1.2",)), log=[].append)


@pytest.mark.parametrize(
    ("requirements", "cuda"),
    [
        ("torch==2.3.0\nnvidia-cuda-runtime-cu12==12.1.105", True),
        ("torch==2.3.0+cu121", True),
        ("torch==2.3.0+cpu", False),
        ("nvidia-ml-py==12.560.30", False),
    ],
)
def test_whether_the_packages_bring_cuda(requirements: str, cuda: bool) -> None:
    assert Lock("Linux-x86_64", Python("3.11.7", "", "conda"), requirements=requirements).brings_cuda == cuda


def test_a_wheel_that_is_not_the_one_that_was_locked(place: Store) -> None:
    _ensure(SMALL, log=[].append)
    lock = kept_locks.find(SMALL.key())
    assert lock is not None
    other = replace(lock, requirements=re.sub(r"sha256:\w{4}", "sha256:0000", lock.requirements))
    asked = Request(lock_key(other.hash), SMALL, other)
    with pytest.raises(EnvironmentBuildError, match=r"Hash mismatch(.|\n)*is not the one that was locked") as caught:
        ensure(asked, [].append)
    assert "compiler" not in str(caught.value) and find(asked.key) is None
    assert _ensure(SMALL, log=[].append), "what was built from the right one goes on"


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        monkeypatch.setenv("TOOLKIT_HOME", str(small))
        with pytest.raises(StorageError, match="the disk is full: free some space"):
            _ensure(PURE, log=[].append)
        assert find(PURE.key()) is None
    finally:
        subprocess.run(["umount", small], check=True)


@pytest.fixture
def served(channel: Path, tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A copy of the channel and its URL on a plain web server."""
    folder = conda_channel.copy(channel, tmp_path / "served")
    words = ["-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(folder)]
    process = subprocess.Popen(
        [sys.executable, "-u", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    try:
        yield folder, process.stdout.readline().split("(")[1].split(")")[0].rstrip("/")
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def test_a_channel_on_a_web_server(place: Store, tmp_path: Path, served: tuple[Path, str]) -> None:
    folder, url = served
    spec, log = EnvironmentSpec((url,), ("greeting",)), tmp_path / "log.txt"
    assert _start(spec, tmp_path, log).wait() == 0, log.read_text()
    prefix = find(spec.key())
    assert prefix is not None
    assert _run(prefix, "-c", "import greeting; print(greeting.__version__)") == "1.2.0"

    conda_channel.corrupt(next(folder.glob("noarch/greeting-1.1.0*")))
    other = EnvironmentSpec((url,), ("greeting=1.1",))
    assert _start(other, tmp_path, log).wait() == 1
    message = json.loads(place.error(other.key()).read_text())["message"]
    assert "the conda packages cannot be installed" in message and "greeting-1.1.0" in message


def test_credentials_are_kept_nowhere(place: Store, tmp_path: Path, served: tuple[Path, str]) -> None:
    address = served[1].replace("://", "://me:geheim@")
    spec, log = EnvironmentSpec(pip=("iniconfig", f"--find-links {address}/")), place.log("log")
    assert _start(spec, tmp_path, log).wait() == 0, log.read_text()
    assert "://***@127.0.0.1" in log.read_text()
    prefix = find(spec.key())
    assert prefix is not None
    Path(prefix.root, MARKER).unlink()
    _ensure(spec, log=[].append)  # solved anew where the kept lock lacks what it needs
    for file in place.root.rglob("*"):
        if file.is_file() and file.suffix in (".json", ".txt"):
            assert "geheim" not in file.read_text(errors="replace"), file
