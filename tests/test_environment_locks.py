"""Lock files: written, committed beside a specification, used as they are, refused when they cannot be meant."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log
from toolkit import Environment, EnvironmentBuildError, UserErrorException, Workspace
from toolkit.definitions import lock_file
from toolkit.definitions.lock_file import LockFile
from toolkit.environments import key
from toolkit.environments.lock import CondaPackage, Lock, Python, Torch
from toolkit.environments.request import ImageDefaults
from toolkit.environments.spec import EnvironmentSpec

SPEC = "dependencies:\n  - python>=3.8\n  - pip\n  - pip:\n    - iniconfig>=2\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "env.yml"
    path.write_text(SPEC)
    return path


def test_a_lock_beside_a_specification_is_used_as_it_is(
    file: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    environment = Environment.from_conda_specification("mine", file)
    assert environment.lock() == str(tmp_path / "env.lock.json")
    text = (tmp_path / "env.lock.json").read_text()
    document = json.loads(text)
    assert "iniconfig==" in document["lock"]["requirements"] and "--hash=sha256:" in document["lock"]["requirements"]
    assert document["specification"]["pip"] == ["iniconfig>=2"]
    assert text == json.dumps(document, indent=1, sort_keys=True) + "\n"
    assert str(tmp_path) not in text and sys.base_prefix not in text, "nothing of this machine"

    pinned = text.replace(document["lock"]["requirements"].split()[0], "iniconfig==2.0.0")
    (tmp_path / "env.lock.json").write_text(pinned)
    capsys.readouterr()
    locked = Environment.from_conda_specification("mine", file)
    assert "environment 'mine' is what its lock says" in capsys.readouterr().err
    resolved = locked.resolve("auto")
    assert "iniconfig==2.0.0" in resolved["lock"]["requirements"]
    assert resolved["lock"]["python"]["path"], "the Python of this machine"
    assert resolved["key"] == key.lock_key(Lock.from_dict(resolved["lock"]).hash) != environment.resolve("auto")["key"]
    assert locked.notices() == []
    assert Environment.from_lock("other", tmp_path / "env.lock.json").resolve("auto")["lock"] == resolved["lock"]

    assert locked.register(workspace).version == "1"
    again = Environment.get(workspace, "mine")
    assert again.resolve("auto")["key"] == resolved["key"], "the lock is kept with the version"
    assert again.register(workspace).version == "1"
    (tmp_path / "env.lock.json").unlink()
    assert Environment.from_conda_specification("mine", file).register(workspace).version == "2", "without the lock"


def test_a_run_gets_what_the_lock_says(file: Path, tmp_path: Path, submit: Submit) -> None:
    Environment.from_conda_specification("mine", file).lock()
    document = json.loads((tmp_path / "env.lock.json").read_text())
    other = tmp_path / "other.yml"
    other.write_text(SPEC.replace("iniconfig>=2", "iniconfig==2.0.0"))
    pinned = json.loads(Path(Environment.from_conda_specification("other", other).lock()).read_text())
    document["lock"]["requirements"] = pinned["lock"]["requirements"]
    (tmp_path / "env.lock.json").write_text(json.dumps(document))
    script = "from importlib.metadata import version; print('iniconfig', version('iniconfig'))"
    run = submit(script, environment=Environment.from_conda_specification("mine", file))
    assert run.wait_for_completion()["status"] == "Completed"
    assert "iniconfig 2.0.0" in driver_log(run)
    assert "taking the lock that was given" in Path(run.directory.build_log).read_text()
    again = submit(script, environment=run.get_environment())
    again.wait_for_completion()
    assert "iniconfig 2.0.0" in driver_log(again), "the registered version has the lock"
    assert "Preparing" not in Path(again.directory.events).read_text()


def test_the_same_solve_writes_the_same_bytes(file: Path, tmp_path: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    first, second = environment.lock(tmp_path / "a.lock.json"), environment.lock(tmp_path / "b.lock.json", upgrade=True)
    assert Path(first).read_bytes() == Path(second).read_bytes()


def test_a_lock_that_this_machine_came_to_needs_no_key_of_its_own(file: Path) -> None:
    plain = Environment.from_conda_specification("mine", file).resolve("auto")
    Environment.from_conda_specification("mine", file).lock()
    locked = Environment.from_conda_specification("mine", file)
    assert locked.locks and locked.resolve("auto")["key"] == plain["key"], "what is built already is found"


def test_a_specification_that_changed_since(file: Path, tmp_path: Path) -> None:
    environment = Environment.from_conda_specification("mine", file)
    environment.lock()
    file.write_text(SPEC.replace("iniconfig>=2", "attrs") + "variables: {A: 1}\n")
    with pytest.raises(UserErrorException) as caught:
        Environment.from_conda_specification("mine", file)
    assert str(caught.value) == (
        f"{file} has changed since its lock env.lock.json was made: pip has 'attrs', which the lock has not; pip lost "
        f"'iniconfig>=2'. Make the lock anew with `toolkit environment lock {file}`, or delete it to solve at every "
        "change"
    )
    file.write_text("# a comment\n" + SPEC.replace("    - ini", "      - ini") + "variables: {A: 1}\n")
    assert Environment.from_conda_specification("mine", file).locks, "what decides no package may change"


def test_packages_that_are_changed_in_code_are_solved_anew(file: Path) -> None:
    Environment.from_conda_specification("mine", file).lock()
    environment = Environment.from_conda_specification("mine", file)
    environment.python.conda_dependencies.add_pip_package("attrs")
    assert environment.resolve("auto")["lock"] is None
    assert environment.notices() == [
        "environment 'mine': its lock is not used, since its packages were changed after that; it is solved anew"
    ]


def held(**changes: object) -> LockFile:
    machine = lock_file.this_platform()
    python = Python(platform.python_version(), "", "")
    lock = Lock(machine, python, requirements="torch==2.4.0", torch=Torch("cpu", "because"))
    spec = EnvironmentSpec(conda=("python>=3.8",), pip=("torch",))
    return LockFile(spec, lock, **changes)  # type: ignore[arg-type]


def test_a_lock_is_for_a_kind_of_run(tmp_path: Path) -> None:
    lock_file.write(held(), tmp_path / "cpu.lock.json")
    environment = Environment.from_lock("mine", tmp_path / "cpu.lock.json")
    assert environment.resolve("auto")["lock"] and not environment.resolve("auto", gpu=True)["lock"]
    assert not environment.resolve("auto", ImageDefaults())["lock"]
    (notice,) = environment.notices(gpu=True)
    assert "its lock is not used, since none is for a prefix with a GPU here" in notice
    lock_file.write(held(kind="image", gpu=True), tmp_path / "image.lock.json")
    image = Environment.from_lock("mine", tmp_path / "image.lock.json").resolve("auto", ImageDefaults(), gpu=True)
    assert image["lock"] and image["key"] != environment.resolve("auto")["key"]


def test_a_lock_from_conda_channels_is_for_prefixes_and_images() -> None:
    package = CondaPackage(
        "python", "3.11.7", "0", 0, "linux-64", "", (), (), "p.conda", "https://c/p.conda", "c", "", "", 0
    )
    lock = replace(held().lock, conda=(package,), torch=None)
    found = replace(held(), lock=lock)
    assert found.fits(False, "image") and found.fits(False, "prefix") and not found.fits(True, "prefix")
    pure = replace(held(), lock=replace(held().lock, torch=None))
    assert pure.fits(True, "prefix") and not pure.fits(True, "image"), "without torch, a GPU makes no difference"


def test_a_python_that_this_machine_has_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    lock_file.write(
        replace(held(), lock=replace(held().lock, python=Python("3.4.9", "", ""))), tmp_path / "a.lock.json"
    )
    environment = Environment.from_lock("mine", tmp_path / "a.lock.json")
    assert environment.resolve("auto")["lock"] is None
    assert environment.notices() == [
        "environment 'mine': its lock is not used, since this machine has no Python 3.4.9; it is solved anew"
    ]


def test_a_lock_for_another_platform(tmp_path: Path) -> None:
    lock_file.write(held(), tmp_path / "env.lock.json")
    text = (tmp_path / "env.lock.json").read_text().replace(lock_file.this_platform(), "Darwin-arm64")
    (tmp_path / "env.lock.json").write_text(text)
    with pytest.raises(UserErrorException) as caught:
        Environment.from_lock("mine", tmp_path / "env.lock.json")
    assert f"was made on Darwin-arm64, and this machine is {lock_file.this_platform()}: make one here" in str(
        caught.value
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[]", "is no lock of the toolkit"),
        ("{}", "is no lock of the toolkit"),
        ('{"toolkit_lock": 2}', "has the format 2, and this toolkit knows 1: use the toolkit that wrote it"),
        ('{"toolkit_lock": 1, "gpu": false}', "is broken (KeyError"),
    ],
)
def test_locks_that_are_broken(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "env.lock.json").write_text(text)
    with pytest.raises(UserErrorException) as caught:
        Environment.from_lock("mine", tmp_path / "env.lock.json")
    assert words in str(caught.value) and "toolkit environment lock FILE" in str(caught.value)


def test_locks_that_are_not_there_or_cannot_be_written(file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="does not exist; relative paths count from"):
        Environment.from_lock("mine", tmp_path / "none.lock.json")
    with pytest.raises(UserErrorException, match="has no packages to lock: it runs on an interpreter as it is"):
        Environment("mine").lock(tmp_path / "a.lock.json")
    environment = Environment.from_conda_specification("mine", file)
    environment.lock(tmp_path / "a.lock.json")
    with pytest.raises(UserErrorException, match="it is a folder; name a file"):
        environment.lock(tmp_path)
    with pytest.raises(UserErrorException, match="there is no folder"):
        environment.lock(tmp_path / "none" / "a.lock.json")


def test_what_cannot_be_solved_is_said_in_the_solver_s_words(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("iniconfig==2.0.0\niniconfig==1.0.0\n")
    environment = Environment.from_pip_requirements("mine", tmp_path / "requirements.txt")
    with pytest.raises(EnvironmentBuildError, match=r"iniconfig==1\.0\.0"):
        environment.lock()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "requirements.txt"]


def test_credentials_stay_out_of_lock_files() -> None:
    channels = ("https://me:pw@host/channel", "https://host/t/pw-token/channel")
    spec = EnvironmentSpec(channels, pip=("--extra-index-url https://me:pw@host/simple", "six"))
    lock = Lock("Linux-x86_64", Python("3.11.7", "", ""), options=("--extra-index-url", "https://me:pw@host/simple"))
    text = lock_file.text(LockFile(spec, lock))
    assert "pw" not in text and "https://host/simple" in text
    assert LockFile.from_dict(json.loads(text)).is_of(spec)
