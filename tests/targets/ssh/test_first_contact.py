"""What is said of a host that is reached for the first time: its plan, its doctor's finding, and commands to try."""

from __future__ import annotations

import getpass
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conftest import Submit, needs
from tests.rig import sshd
from toolkit import ActivityFailedException, Experiment, ScriptRunConfig, Workspace, dry_run
from toolkit.errors import ToolkitError
from toolkit.targets import registry
from toolkit.targets.ssh.connection import Address
from toolkit.targets.ssh.errors import explain

CONTROL = """\
from azureml.core import Experiment, ScriptRunConfig, Workspace
ws = Workspace.get("test")
Experiment(ws, "tests").submit(ScriptRunConfig("source", script="train.py", compute_target="box"))
"""


@pytest.fixture
def own_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Host]:
    """A host for one test, which may do to it what it likes."""
    needs(not sshd.why_not(), sshd.why_not())
    with sshd.serve(tmp_path_factory.mktemp("own-host")) as served:
        yield served


def use(workspace: Workspace, settings: str) -> None:
    workspace.paths.configuration.write_text(f"compute_targets: {{box: {{{settings}}}}}\n")


def examined(workspace: Workspace) -> str:
    """What the doctor hears."""
    return registry.examine("box", workspace.configuration.compute_targets["box"])


@pytest.fixture
def config(tmp_path: Path) -> ScriptRunConfig:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text("print(1)")
    return ScriptRunConfig(str(tmp_path / "source"), "train.py", compute_target="box")


def dry(folder: Path) -> subprocess.CompletedProcess[str]:
    (folder / "control.py").write_text(CONTROL)
    command = [sys.executable, "-m", "toolkit.cli", "exec", "--dry-run", "control.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


# -- a plan before the first submit ----------------------------------------------------------------------------------


def test_a_plan_waits_for_the_connection(
    own_host: sshd.Host, workspace: Workspace, tmp_path: Path, config: ScriptRunConfig
) -> None:
    use(workspace, own_host.settings)
    for _ in range(2):
        answer = dry(tmp_path)
        assert answer.returncode == 0, answer.stderr
        (plan,) = yaml.safe_load_all(answer.stdout)
        assert plan["target"] == "box" and plan["snapshot"]["store"].startswith(str(own_host.home))
    assert not workspace.paths.runs.exists() or not os.listdir(workspace.paths.runs)


def test_a_plan_of_a_host_that_does_not_answer(workspace: Workspace, tmp_path: Path, config: ScriptRunConfig) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    use(workspace, f"type: ssh, host: 127.0.0.1, port: {port}")
    answer = dry(tmp_path)
    assert answer.returncode == 1 and not answer.stdout
    assert answer.stderr.startswith("toolkit: '127.0.0.1' does not answer: ssh: connect to host 127.0.0.1 port")
    assert f"does `ssh -p {port} 127.0.0.1 true` work?" in answer.stderr and answer.stderr.count("\n") == 1


def test_a_plan_of_a_host_that_refuses(
    own_host: sshd.Host, workspace: Workspace, tmp_path: Path, config: ScriptRunConfig
) -> None:
    (own_host.folder / "authorized_keys").write_text("")
    use(workspace, own_host.settings)
    answer = dry(tmp_path)
    assert answer.returncode == 1 and answer.stderr.startswith("toolkit: ssh may not log in to 'rig-host'")
    assert answer.stderr.count("\n") == 1


def test_a_plan_is_not_waited_for_for_ever(
    workspace: Workspace, config: ScriptRunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dry_run, "CONNECT_SECONDS", 0.3)
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()  # takes the connection, and says nothing
        use(workspace, f"type: ssh, host: 127.0.0.1, port: {mute.getsockname()[1]}")
        began = time.monotonic()
        with pytest.raises(SystemExit, match="'box' has no plan yet: connecting to"):
            dry_run.plan(Experiment(workspace, "tests"), config)
        assert time.monotonic() - began < 5


# -- commands to try -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "command"),
    [
        (Address("box"), "ssh box"),
        (Address("me@box", 2222, "/a key", "/c"), "ssh -p 2222 -F /c -i '/a key' me@box"),
    ],
)
def test_commands_name_all_that_ssh_needs(address: Address, command: str) -> None:
    assert f"run `{command} true` once" in str(explain(address, "Host key verification failed.", 255))
    assert f"run `{command} true` once" in str(explain(address, "Host key for x has changed", 255))
    assert f"does `{command} true` work?" in str(explain(address, "Connection refused", 255))
    assert f"Try `{command} python3 -V` by hand" in str(explain(address, "odd", 3))
    copying = command.replace("ssh", "ssh-copy-id", 1)
    assert f"with `{copying}`" in str(explain(address, "Permission denied (publickey).", 255))


def test_the_command_of_a_hint_works(own_host: sshd.Host, tmp_path: Path) -> None:
    configuration = tmp_path / "ssh config"
    configuration.write_text(f"UserKnownHostsFile {own_host.folder / 'known_hosts'}\nIdentitiesOnly yes\n")
    address = Address(
        f"{getpass.getuser()}@127.0.0.1", own_host.port, str(own_host.folder / "user_key"), str(configuration)
    )
    assert subprocess.run(f"{address.by_hand('ssh')} true", shell=True).returncode == 0
    copying = shlex.split(address.by_hand("ssh-copy-id"))
    (tmp_path / ".ssh").mkdir()
    copying.insert(1, "-n")  # it copies nothing
    said = subprocess.run(copying, capture_output=True, text=True, env={**os.environ, "HOME": str(tmp_path)})
    assert "already exist" in said.stderr, said.stderr


def test_the_command_that_ssh_names_for_a_changed_key_is_passed_on() -> None:
    words = (
        '@@@@@@@\n  remove with:\n  ssh-keygen -f "/k" -R "[127.0.0.1]:22"\n'
        "Host key for [127.0.0.1]:22 has changed and you have requested strict checking.\n"
    )
    assert 'with `ssh-keygen -f "/k" -R "[127.0.0.1]:22"` and run' in str(explain(Address("box"), words, 255))


# -- what the other side said ----------------------------------------------------------------------------------------


def test_an_account_without_a_login_shell(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    nologin = shutil.which("nologin") or "/usr/sbin/nologin"
    needs(os.path.exists(nologin), "nologin")
    forced = f"echo 'Could not chdir to home directory /nonexistent: No such file or directory' >&2; exec {nologin}"
    keys = own_host.folder / "authorized_keys"
    keys.write_text(f'command="{forced}" {keys.read_text()}')
    use(workspace, own_host.settings)
    run = submit("print(1)", compute_target="box")
    with pytest.raises(ActivityFailedException):
        run.wait_for_completion()
    with pytest.raises(ToolkitError) as caught:
        examined(workspace)
    for message in (run.get_details()["error"]["error"]["message"], str(caught.value)):
        assert "This account is currently not available" in message and "no login shell" in message
        assert "ython" not in message


def test_what_is_printed_instead_of_an_answer_is_said() -> None:
    said = str(explain(Address("box"), "", 7, "Welcome\nThis service is for git only.\n"))
    assert "with code 7: This service is for git only. Try" in said
    assert "ssh ended with code 7" in str(explain(Address("box"), "", 7, ""))


# -- the folder there ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("folder", "words"),
    [("/proc/x", "No such file or directory: /proc/x"), ("/etc/passwd/x/y", "Not a directory: /etc/passwd/x/y")],
)
def test_the_doctor_sees_a_folder_that_cannot_be_made(
    host: sshd.Host, workspace: Workspace, folder: str, words: str
) -> None:
    use(workspace, f"{host.settings}, folder: {folder}")
    with pytest.raises(ToolkitError, match=f"'rig-host' cannot take runs: {words}. To go on: .* another `folder`"):
        examined(workspace)


def test_the_doctor_leaves_nothing_there(host: sshd.Host, workspace: Workspace, tmp_path: Path) -> None:
    use(workspace, f"{host.settings}, folder: {tmp_path}/new/er")
    before = {*os.listdir(tmp_path)}
    assert examined(workspace).startswith("rig-host, Python 3.")
    assert {*os.listdir(tmp_path)} == before
