"""What is the SSH target's own: what is sent and when, GPUs of the host, and connections that are cut or never come."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, end_processes, lives, needs, wait_until
from tests.rig import sshd
from toolkit import (
    ActivityFailedException,
    ComputeTargetException,
    Dataset,
    Environment,
    Model,
    OutputFileDatasetConfig,
    Run,
    Workspace,
)
from toolkit.inscript.files import read_json, write_json
from toolkit.status import read_events

TARGETS = "compute_targets:\n  remote: {{{settings}, slots: 4{more}}}\ncancel_grace_seconds: 1\n"


def use(workspace: Workspace, host: sshd.Host, **more: object) -> None:
    """Have `remote` be the host, with more settings."""
    words = "".join(f", {key}: {value}" for key, value in more.items())
    workspace.paths.configuration.write_text(TARGETS.format(settings=host.settings, more=words))


@pytest.fixture
def remote(workspace: Workspace, host: sshd.Host) -> sshd.Host:
    use(workspace, host)
    return host


@pytest.fixture
def own_host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Host]:
    """A host for one test, which may do to it what it likes."""
    needs(not sshd.why_not(), sshd.why_not())
    with sshd.serve(tmp_path_factory.mktemp("own-host")) as served:
        yield served


def there(run: Run) -> Path:
    """The run's folder on the host."""
    wait_until(lambda: os.path.exists(run.directory.handle))
    return Path(read_json(run.directory.handle)["engine_id"])


def says_here(run: Run) -> bool:
    return os.path.exists(run.directory.driver_log) and "here" in driver_log(run)


def error(run: Run) -> dict[str, str]:
    with pytest.raises(ActivityFailedException):
        run.wait_for_completion()
    found: dict[str, str] = run.get_details()["error"]["error"]
    return found


@pytest.fixture
def rsyncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """How rsync was called by the agent, which gets to see a stand-in that notes it and goes on to the real one."""
    folder, log = tmp_path / "programs", tmp_path / "rsync.log"
    folder.mkdir()
    program = folder / "rsync"
    program.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {shutil.which("rsync")} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return lambda: log.read_text().splitlines() if log.exists() else []


# -- what a script sees, and what comes back -------------------------------------------------------------------------


def test_what_a_script_sees(remote: sshd.Host, submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "s3cret")
    run = submit(
        """
        import os, sys
        print(os.environ.get("MY_TOKEN"), "SSH_CONNECTION" in os.environ, sys.executable)
        print(os.environ["TOOLKIT_DATA"], os.environ["AZUREML_OUTPUT_DIRECTORY"], os.getcwd())
        print(os.environ.get("MLFLOW_TRACKING_URI"), os.environ["AZUREML_TARGET_TYPE"])
        """,
        compute_target="remote",
    )
    run.wait_for_completion()
    first, second, third = driver_log(run).splitlines()
    assert first.startswith("None True /usr/") and third == "None ssh"
    home, root = str(remote.home), str(there(run))
    assert second.split() == [f"{home}/data", f"{root}/work/outputs", f"{root}/work"]
    assert not os.path.exists(run.directory.environ), "what the submitter's variables were stays nowhere"


def test_large_outputs_and_those_of_another_folder_come_back(remote: sshd.Host, submit: Submit) -> None:
    run = submit(
        """
        import os
        os.makedirs("outputs/deep folder")
        with open("outputs/deep folder/weights ü.bin", "wb") as file:
            for _ in range(30): file.write(os.urandom(1 << 20))
        open("outputs/empty", "w")
        os.symlink("empty", "outputs/link")
        """,
        compute_target="remote",
    )
    assert run.wait_for_completion()["status"] == "Completed"
    folder = Path(run.directory.outputs)
    assert (folder / "deep folder" / "weights ü.bin").stat().st_size == 30 << 20
    assert {"outputs/empty", "outputs/link"} <= {*run.get_file_names()}


def test_a_completed_run_leaves_nothing_there_and_a_failed_one_its_folder(remote: sshd.Host, submit: Submit) -> None:
    good = submit("print(1)", compute_target="remote")
    bad = submit("open('kept.txt', 'w').write('x'); raise SystemExit(1)", compute_target="remote")
    good.wait_for_completion()
    error(bad)
    wait_until(lambda: not there(good).exists())
    assert (there(bad) / "work" / "kept.txt").exists()


def test_keep_says_whose_folders_stay(workspace: Workspace, host: sshd.Host, submit: Submit) -> None:
    use(workspace, host, keep="none")
    run = submit("raise SystemExit(1)", compute_target="remote")
    error(run)
    wait_until(lambda: not there(run).exists())


def test_a_script_asks_its_workspace(remote: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    run = submit(
        """
        from toolkit import Model, Run
        run = Run.get_context()
        open("outputs/net.bin", "w").write("weights")
        import time; time.sleep(0.2)
        model = run.register_model("net", model_path="outputs/net.bin")
        print(model.version, open(model.get_model_path("net", _workspace=run.experiment.workspace)).read())
        """,
        compute_target="remote",
    )
    run.wait_for_completion()
    assert driver_log(run).splitlines()[-1] == "1 weights"
    assert Model(workspace, "net").version == 1


def test_a_script_has_the_secrets_of_its_workspace(remote: sshd.Host, submit: Submit, workspace: Workspace) -> None:
    workspace.get_default_keyvault().set_secret("token", "pä\r\nss")
    run = submit(
        """
        from toolkit import Run
        run = Run.get_context()
        print(run.get_secrets(["token"]) == {"token": "pä\\r\\nss"})
        try:
            run.get_secret("another")
        except Exception as error:
            print(error)
        """,
        compute_target="remote",
    )
    run.wait_for_completion()
    said = driver_log(run).splitlines()
    assert said[0] == "True" and "has no secret 'another'" in said[1]
    assert not [*remote.home.rglob("*.reply.json"), *Path(run.directory.root).rglob("*.reply.json")]


@pytest.mark.parametrize(
    "call",
    [
        "workspace.get_default_datastore().upload_files(['script.py'])",
        "Dataset.get_by_name(workspace, 'photos')",
        "Dataset.File.from_files('script.py').register(workspace, 'mine')",
        "Datastore.get(workspace, 'team')",
        "workspace.get_default_keyvault().set_secret('token', 'lost')",
        "workspace.get_default_keyvault().list_secrets()",
    ],
)
def test_what_would_be_lost_there_is_refused(remote: sshd.Host, submit: Submit, call: str) -> None:
    script = f"""
        import os
        from toolkit import Dataset, Datastore, Run
        os.chdir(os.path.dirname(os.path.abspath(__file__)))
        open("script.py", "a").close()
        workspace = Run.get_context().experiment.workspace
        {call}
    """
    run = submit(script, compute_target="remote")
    with pytest.raises(ActivityFailedException, match="cannot be used by a script on the host of 'remote'"):
        run.wait_for_completion()


# -- what is sent ----------------------------------------------------------------------------------------------------


def test_small_sources_go_as_messages(remote: sshd.Host, submit: Submit, rsyncs: Callable[[], list[str]]) -> None:
    run = submit("print('small')", compute_target="remote")
    assert run.wait_for_completion()["status"] == "Completed"
    assert not rsyncs()


def test_many_files_are_sent_by_rsync_once(
    remote: sshd.Host, submit: Submit, tmp_path: Path, rsyncs: Callable[[], list[str]]
) -> None:
    (tmp_path / "source").mkdir()
    for number in range(3):
        (tmp_path / "source" / f"{number}.bin").write_bytes(os.urandom(3 << 20))
    script = "import os; print(sum(os.path.getsize(name) for name in os.listdir() if name.endswith('.bin')))"
    for _ in range(2):
        run = submit(script, compute_target="remote")
        run.wait_for_completion()
        assert int(driver_log(run)) == 9 << 20
        assert len(rsyncs()) == 1, "the second time nothing is sent: rsync is not even started"


def test_inputs_are_copied_once_and_again_when_they_change(
    remote: sshd.Host, submit: Submit, tmp_path: Path, rsyncs: Callable[[], list[str]]
) -> None:
    folder = tmp_path / "my data"
    folder.mkdir()
    (folder / "a.txt").write_text("one")
    dataset = Dataset.File.from_files(str(folder) + "/")
    script = "import os, sys; print(sys.argv[1]); print(open(os.path.join(sys.argv[1], 'a.txt')).read())"
    for text in ("one", "one", "two!"):
        (folder / "a.txt").write_text(text) if (folder / "a.txt").read_text() != text else None
        run = submit(script, arguments=[dataset.as_named_input("data").as_mount()], compute_target="remote")
        run.wait_for_completion()
        path, seen = driver_log(run).splitlines()
        assert path.startswith(str(remote.home)) and seen == text
    assert len(rsyncs()) == 2


def test_an_input_of_a_datastore_is_copied(
    remote: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path
) -> None:
    (tmp_path / "up").mkdir()
    for name in ("a.txt", "b.csv"):
        (tmp_path / "up" / name).write_text(name)
    store = workspace.get_default_datastore()
    store.upload(str(tmp_path / "up"), target_path="data", show_progress=False)
    whole, some = Dataset.File.from_files((store, "data")), Dataset.File.from_files((store, "data/*.csv"))
    run = submit(
        "import os, sys; print(*[sorted(os.listdir(path)) for path in sys.argv[1:]], *sys.argv[1:], sep='\\n')",
        arguments=[whole.as_mount(), some.as_download(), whole.as_mount("/tmp/elsewhere")],
        compute_target="remote",
    )
    run.wait_for_completion()
    lines = driver_log(run).splitlines()
    assert lines[:3] == ["['a.txt', 'b.csv']", "['b.csv']", "['a.txt', 'b.csv']"]
    assert lines[3].startswith(str(remote.home)) and lines[4].startswith(str(there(run)))


def test_outputs_come_to_their_datastore(remote: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    output = OutputFileDatasetConfig(name="made").register_on_complete("made")
    run = submit(
        "import os, sys; open(sys.argv[1] + '/x.txt', 'w').write('made there')",
        arguments=[output],
        compute_target="remote",
    )
    assert run.wait_for_completion()["status"] == "Completed"
    (path,) = Dataset.get_by_name(workspace, "made").download()
    assert Path(path).read_text() == "made there"


# -- GPUs ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def two_gpus(own_host: sshd.Host) -> sshd.Host:
    """A host with a stand-in for nvidia-smi that lists two GPUs."""
    program = own_host.programs / "nvidia-smi"
    program.write_text("#!/bin/sh\nprintf 'GPU-aa, 0\\nGPU-bb, 1\\n'\n")
    program.chmod(0o755)
    return own_host


def test_a_driver_that_hangs_holds_up_no_run_without_gpus(
    own_host: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path
) -> None:
    asked = tmp_path / "asked"
    program = own_host.programs / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n: > '{asked}'\nsleep 600\n")
    program.chmod(0o755)
    use(workspace, own_host)
    assert submit("pass", compute_target="remote").wait_for_completion()["status"] == "Completed"
    assert not asked.exists()


def test_gpus_are_leased_on_the_host_across_workspaces(
    two_gpus: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path
) -> None:
    from toolkit import Experiment, ScriptRunConfig

    use(workspace, two_gpus, gpus=1)
    script = (
        "import os, time; print('here', os.environ['CUDA_VISIBLE_DEVICES'], flush=True)\n"
        f"while not os.path.exists({str(tmp_path / 'go')!r} + os.environ['CUDA_VISIBLE_DEVICES']): time.sleep(0.01)"
    )
    first, second = (submit(script, compute_target="remote") for _ in range(2))
    wait_until(lambda: says_here(first) and says_here(second))
    assert {driver_log(first), driver_log(second)} == {"here 0\n", "here 1\n"}
    other = Workspace.create("other")
    use(other, two_gpus, gpus=1)
    try:
        config = ScriptRunConfig(str(tmp_path / "source"), script="train.py", compute_target="remote")
        third = Experiment(other, "tests").submit(config)
        wait_until(lambda: (two_gpus.home / "gpu-leases" / "waiting" / f"{third.id}.json").exists())
        assert third.get_status() == "Queued"
        free = driver_log(first).split()[1]
        (tmp_path / f"go{free}").touch()
        wait_until(lambda: says_here(third))
        assert driver_log(third) == f"here {free}\n"
        for number in (0, 1):
            (tmp_path / f"go{number}").touch()
        assert third.wait_for_completion()["status"] == "Completed"
    finally:
        end_processes(other)


def test_more_gpus_than_the_host_has(two_gpus: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    use(workspace, two_gpus, gpus=3)
    message = error(submit("print(1)", compute_target="remote"))["message"]
    assert "each run is to have 3 GPUs, and the host has 2" in message and "lower `gpus`" in message


# -- connections that are cut ----------------------------------------------------------------------------------------


def cut(host: sshd.Host) -> None:
    """kill -9 of all that serves the connections of the host."""
    for session in host.sessions():
        session.kill()


def test_a_connection_that_is_cut_heals_and_nothing_is_lost_or_doubled(own_host: sshd.Host, workspace: Workspace,
                                                                       submit: Submit) -> None:  # fmt: skip
    use(workspace, own_host)
    run = submit(
        """
        import time
        from toolkit import Run
        run = Run.get_context()
        for number in range(150):
            print("line", number, flush=True)
            run.log("number", number)
            time.sleep(0.02)
        """,
        compute_target="remote",
    )
    for _ in range(3):
        before = len(driver_log(run)) if os.path.exists(run.directory.driver_log) else 0
        wait_until(lambda before=before: os.path.exists(run.directory.driver_log) and len(driver_log(run)) > before)
        cut(own_host)
        time.sleep(0.3)
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "".join(f"line {number}\n" for number in range(150))
    assert run.get_metrics() == {"number": list(range(150))}
    assert [event.status for event in read_events(run.directory)].count("Running") == 1


def test_a_cancel_without_a_connection_waits_for_one(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    use(workspace, own_host)
    run = submit("import os, time; print('here', os.getpid(), flush=True); time.sleep(600)", compute_target="remote")
    wait_until(lambda: says_here(run))
    pid = int(driver_log(run).split()[1])
    os.kill(own_host.process.pid, signal.SIGSTOP)
    cut(own_host)
    run.cancel()
    wait_until(lambda: run.get_status() == "CancelRequested")
    time.sleep(0.3)
    assert lives(pid)
    os.kill(own_host.process.pid, signal.SIGCONT)
    assert run.wait_for_completion()["status"] == "Canceled"
    assert not lives(pid)


def test_a_run_that_ends_while_the_connection_is_cut(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    use(workspace, own_host)
    run = submit("import time; print('here', flush=True); time.sleep(1); print('end')", compute_target="remote")
    wait_until(lambda: says_here(run))
    os.kill(own_host.process.pid, signal.SIGSTOP)
    cut(own_host)
    wait_until(lambda: (there(run) / "exit.json").exists())
    os.kill(own_host.process.pid, signal.SIGCONT)
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "here\nend\n"


def test_a_host_that_was_started_again(remote: sshd.Host, submit: Submit) -> None:
    run = submit("import time; print('here', flush=True); time.sleep(600)", compute_target="remote")
    wait_until(lambda: says_here(run))
    write_json(str(there(run) / "boot"), "another boot")  # as /proc says it of another start of the machine
    script = read_json(run.directory.script)["pid"]
    os.kill(read_json(run.directory.started)["pid"], signal.SIGKILL)
    message = error(run)["message"]
    assert "the host 'rig-host' was started again while the run was on it" in message and "max_retries" in message
    assert not lives(script)


def test_a_disk_that_is_full_there(own_host: sshd.Host, workspace: Workspace, submit: Submit, tmp_path: Path) -> None:
    needs(os.geteuid() == 0, "root, to mount a small disk")
    small = tmp_path / "small disk"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", small], check=True)
    try:
        use(workspace, own_host, folder=f"'{small}'")
        run = submit("open('outputs/x', 'wb').write(bytes(20 << 20))", compute_target="remote")
        message = error(run)["message"]
        assert "exited with code 1" in message and "the disk with its folder was full" in message
        (tmp_path / "source" / "large.bin").write_bytes(os.urandom(8 << 20))
        message = error(submit("print(1)", compute_target="remote"))["message"]
        assert "No space left on device" in message and f"Free some space below {small}" in message
    finally:
        end_processes(workspace)
        subprocess.run(["umount", "-l", small], check=True)


# -- hosts that cannot be used ---------------------------------------------------------------------------------------


def refused(workspace: Workspace, host: sshd.Host, submit: Submit, **more: object) -> str:
    use(workspace, host, **more)
    began = time.monotonic()
    message = error(submit("print(1)", compute_target="remote"))["message"]
    assert time.monotonic() - began < 50, "at once, and not after a minute"
    return message


def test_a_host_key_that_is_not_known(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    (own_host.folder / "known_hosts").write_text("")
    message = refused(workspace, own_host, submit)
    assert "the host key of 'rig-host' is not known" in message
    assert f"run `ssh -F {own_host.config} rig-host true` once" in message


def test_a_host_key_that_has_changed(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    other = " ".join((own_host.folder / "other_key.pub").read_text().split()[:2])
    (own_host.folder / "known_hosts").write_text(f"[127.0.0.1]:{own_host.port} {other}\n")
    message = refused(workspace, own_host, submit)
    assert "the host key of 'rig-host' is another one than before" in message
    assert "take the old key out with `ssh-keygen " in message and f'-R "[127.0.0.1]:{own_host.port}"` and' in message


def test_a_key_that_is_refused_asks_for_no_password(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    (own_host.folder / "authorized_keys").write_text("")
    message = refused(workspace, own_host, submit)
    assert "ssh may not log in to 'rig-host'" in message and "Permission denied" in message and "key_file" in message


def test_a_host_without_python(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    message = refused(workspace, own_host, submit, python="no-such-python3")
    assert "'rig-host' has no no-such-python3 to start" in message and "not found" in message


def test_a_python_that_is_no_python(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    program = own_host.programs / "broken"
    program.write_text("#!/bin/sh\necho 'unknown option -I' >&2; exit 2\n")
    program.chmod(0o755)
    assert "too old or broken" in refused(workspace, own_host, submit, python="broken")


def test_a_host_that_is_not_known(workspace: Workspace, submit: Submit) -> None:
    workspace.paths.configuration.write_text("compute_targets: {remote: {type: ssh, host: no-such-host.invalid}}\n")
    message = error(submit("print(1)", compute_target="remote"))["message"]
    assert "the host 'no-such-host.invalid' is not known" in message and "mend `host`" in message


def test_a_host_that_refuses_is_waited_for(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    use(workspace, own_host)
    sshd.end(own_host)
    run = submit("print('came')", compute_target="remote")
    wait_until(lambda: run.get_status() == "Queued")
    time.sleep(1)
    command = [sshd.SSHD, "-D", "-e", "-f", str(own_host.folder / "sshd_config")]
    with (own_host.folder / "sshd.log").open("ab") as log:
        again = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    try:
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "came\n"
    finally:
        end_processes(workspace)
        again.kill()
        again.wait()


def test_login_scripts_that_talk(own_host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    program = own_host.programs / "python3"
    program.write_text("#!/bin/sh\necho 'Welcome to this host!'\nexec /usr/bin/python3 \"$@\"\n")
    program.chmod(0o755)
    use(workspace, own_host)
    run = submit("print('came')", compute_target="remote")
    assert run.wait_for_completion()["status"] == "Completed"


def test_the_doctor_sees_the_host(remote: sshd.Host, workspace: Workspace) -> None:
    from toolkit.errors import ToolkitError
    from toolkit.targets import registry

    settings = workspace.configuration.compute_targets["remote"]
    assert registry.examine("remote", settings).startswith("rig-host, Python 3.")
    with pytest.raises(ToolkitError, match="'rig-host' has no no-such-python to start"):
        registry.examine("remote", {**settings, "python": "no-such-python"})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("host: '-oProxyCommand=touch /tmp/x'", "host .* must be as ssh takes it"),
        ("host: 'two words'", "host 'two words'"),
        ("host: h, port: 70000", "port 70000; it must be a whole number from 1 to 65535"),
        ("host: h, folder: relative", "folder 'relative'; it must be a folder on the host"),
        ("host: h, keep: some", "keep 'some'; it must be none, failed, all"),
        ("host: h, python: '-c'", "python '-c'; it must be a Python on the host"),
        ("host: h, key_file: /no/such/key", "has key_file /no/such/key, which cannot be read"),
        ("host: h, ssh_config: /no/such/config", "has ssh_config /no/such/config, which cannot be read"),
        ("slots: 2", "has no host: as ssh takes it"),
    ],
)
def test_wrong_settings_are_refused_at_submit(setting: str, message: str, workspace: Workspace, submit: Submit) -> None:
    workspace.paths.configuration.write_text(f"compute_targets: {{remote: {{type: ssh, {setting}}}}}\n")
    with pytest.raises(ComputeTargetException, match=message):
        submit("print(1)", compute_target="remote")
    assert not [*workspace.paths.runs.glob("*")] if workspace.paths.runs.exists() else True


def test_the_connection_is_only_this_users(remote: sshd.Host, submit: Submit) -> None:
    import glob

    run = submit("import time; print('here', flush=True); time.sleep(600)", compute_target="remote")
    wait_until(lambda: says_here(run))
    sockets = [path for path in glob.glob("/tmp/toolkit-ssh-*/s") if os.stat(path).st_uid == os.getuid()]
    assert sockets and all(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700 for path in sockets)
    run.cancel()
    run.wait_for_completion()


def test_an_environment_object_that_names_the_hosts_python(remote: sshd.Host, submit: Submit) -> None:
    environment = Environment("hosts-own")
    environment.python.user_managed_dependencies = True
    run = submit("import sys; print(sys.executable)", compute_target="remote", environment=environment)
    run.wait_for_completion()
    assert driver_log(run).startswith("/usr/bin/python3")


def test_a_host_with_an_old_python(host: sshd.Host, workspace: Workspace, submit: Submit) -> None:
    pythons = [*sorted(Path.home().glob(".pyenv/versions/3.6*/bin/python3.6")), shutil.which("python3.6")]
    needs(pythons[0], "a Python 3.6 (in pyenv's folder or on the PATH)")
    use(workspace, host, python=pythons[0])
    run = submit(
        "import sys; from toolkit import Run; Run.get_context().log('x', 1.5); print('%d.%d' % sys.version_info[:2])",
        compute_target="remote",
    )
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "3.6\n" and run.get_metrics() == {"x": 1.5}
