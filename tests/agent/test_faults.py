"""kill -9 of anything at any moment, full and read-only disks, two of everything: the run ends in a true state."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import FINAL, Submit, driver_log, end_processes, lives, needs, wait_until
from toolkit import Environment, Experiment, Run, ScriptRunConfig, StorageError, Workspace
from toolkit.agent import wake
from toolkit.inscript.files import read_json
from toolkit.status import read_events


def processes_of(workspace: Workspace, module: str) -> list[int]:
    """The pids of `python -m module` that work for the workspace."""
    marker, found = str(workspace.paths.root), []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if module in command and any(marker in word for word in command):
            found.append(process.pid)
    return [pid for pid in found if lives(pid)]


def kill(workspace: Workspace, *modules: str) -> None:
    """kill -9 of all of them, and wait until they are gone."""
    for module in modules or ("toolkit.agent",):
        for pid in processes_of(workspace, module):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda pid=pid: not lives(pid))  # type: ignore[misc]


def statuses(run: Run) -> list[str]:
    return [event.status for event in read_events(run.directory)]


def said(run: Run, words: str) -> bool:
    return os.path.exists(run.directory.driver_log) and words in driver_log(run)


LOGS_SLOWLY = """
import time
from toolkit import Run
run = Run.get_context()
print("here", flush=True)
for number in range(20):
    run.log("loss", number)
    time.sleep(0.05)
print("done")
"""


@pytest.mark.shared_home
class TestKilled:
    @pytest.mark.parametrize("moment", ["Starting", "Queued", "Running", "Finalizing", "exit.json", "plan.json"])
    def test_the_agent(self, moment: str, submit: Submit, workspace: Workspace) -> None:
        """kill -9 as soon as the moment is seen; then the next look brings the run to its end."""
        run = submit(LOGS_SLOWLY)
        if moment.endswith(".json"):
            wait_until(lambda: os.path.exists(os.path.join(run.directory.root, moment)))
        else:
            wait_until(lambda: moment in statuses(run))
        kill(workspace)
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "here\ndone\n", "it ran once"
        assert run.get_metrics() == {"loss": [*range(20)]}
        seen = [status for status in statuses(run) if status != "Queued"]
        assert len({*seen}) == len(seen), seen
        assert not os.path.exists(run.directory.environ)

    def test_everything_at_once_but_the_script(self, submit: Submit, workspace: Workspace) -> None:
        run = submit(LOGS_SLOWLY)
        wait_until(lambda: said(run, "here"))
        kill(workspace, "toolkit.agent", "toolkit.agent.tracking")
        assert run.wait_for_completion()["status"] == "Completed"
        wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
        assert run.get_metrics() == {"loss": [*range(20)]}

    def test_the_tracker_alone_comes_back(self, submit: Submit, workspace: Workspace) -> None:
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: said(run, "here") and os.path.exists(run.directory.tracking))
        (before,) = processes_of(workspace, "toolkit.agent.tracking")
        kill(workspace, "toolkit.agent.tracking")
        wait_until(lambda: processes_of(workspace, "toolkit.agent.tracking") not in ([], [before]))
        run.cancel()
        run.wait_for_completion()
        wait_until(lambda: not (workspace.paths.untracked / run.id).exists())

    def test_agent_and_launcher_and_script(self, submit: Submit, workspace: Workspace) -> None:
        """As when the machine goes down."""
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: said(run, "here") and os.path.exists(run.directory.script))
        kill(workspace, "toolkit.agent")
        for path in (run.directory.started, run.directory.script):
            os.kill(read_json(path)["pid"], signal.SIGKILL)
        details = run.wait_for_completion(raise_on_error=False)
        assert details["status"] == "Failed" and details["error"]["error"]["code"] == "LauncherLost"

    def test_the_launcher_while_it_ends_a_cancelled_run(self, submit: Submit, workspace: Workspace) -> None:
        run = submit(
            """
            import os, signal, time
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            print("here", flush=True)
            time.sleep(600)
            """
        )
        wait_until(lambda: said(run, "here") and os.path.exists(run.directory.script))
        script, launcher = (read_json(path)["pid"] for path in (run.directory.script, run.directory.started))
        run.cancel()
        wait_until(lambda: "CancelRequested" in statuses(run))
        os.kill(launcher, signal.SIGKILL)
        assert run.wait_for_completion(raise_on_error=False)["status"] in ("Canceled", "Failed")
        assert not lives(script)

    def test_a_cancel_while_no_agent_is_there(self, submit: Submit, workspace: Workspace) -> None:
        run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)")
        wait_until(lambda: said(run, "here"))
        kill(workspace)
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"

    def test_the_control_script_ends_right_after_submit(self, workspace: Workspace, tmp_path: Path) -> None:
        answer = control_script(tmp_path, "alone", count=1)
        assert answer.returncode == 0, answer.stderr
        run = workspace.get_run(answer.stdout.split()[-1])
        assert run.wait_for_completion()["status"] == "Completed"

    def test_two_control_scripts_submit_ten_runs_each(self, workspace: Workspace, tmp_path: Path) -> None:
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
        scripts = [start_control_script(tmp_path / name, "together", count=10) for name in ("one", "two")]
        ids = []
        for script in scripts:
            printed, trouble = script.communicate()
            assert script.returncode == 0, trouble
            ids += printed.split()
        assert len({*ids}) == 20
        runs = [workspace.get_run(run_id) for run_id in ids]
        for run in runs:
            assert run.wait_for_completion()["status"] == "Completed"
        assert sorted(run.number for run in runs) == list(range(1, 21))
        assert len(processes_of(workspace, "toolkit.agent")) == 1

    def test_sigterm_ends_an_idle_agent(self, submit: Submit, workspace: Workspace) -> None:
        run = submit("print(1)")
        run.wait_for_completion()
        wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
        (agent,) = processes_of(workspace, "toolkit.agent")
        os.kill(agent, signal.SIGTERM)
        wait_until(lambda: not lives(agent))
        assert submit("print(2)").wait_for_completion()["status"] == "Completed"

    def test_two_agents_at_once(self, workspace: Workspace) -> None:
        command = [sys.executable, "-m", "toolkit.agent", str(workspace.paths.root)]
        kill(workspace)
        first, second = subprocess.Popen(command), subprocess.Popen(command)
        wait_until(lambda: wake.is_running(workspace.paths))
        wait_until(lambda: None in (first.poll(), second.poll()) and 0 in (first.poll(), second.poll()))
        assert wake.stop(workspace.paths)
        assert first.wait() == second.wait() == 0

    def test_a_half_submit_is_harmless(self, submit: Submit, workspace: Workspace) -> None:
        """What a control script leaves that is killed between its marks and its run directory."""
        for folder in (workspace.paths.active, workspace.paths.untracked):
            (folder / "tests_1600000000_00000000").touch()
        Experiment(workspace, "tests").add_run("tests_1600000000_00000000")
        run = submit("from toolkit import Run; Run.get_context().log('loss', 1.0)")
        assert run.wait_for_completion()["status"] == "Completed"
        wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
        assert run.id in [found.id for found in Experiment(workspace, "tests").get_runs()]
        for folder in (workspace.paths.active, workspace.paths.untracked):
            mark = folder / "tests_1600000000_00000000"
            os.utime(mark, (0, 0))
        submit("print(1)").wait_for_completion()
        wait_until(lambda: not (workspace.paths.active / "tests_1600000000_00000000").exists())


def control_script(folder: Path, experiment: str, count: int) -> subprocess.CompletedProcess[str]:
    script = start_control_script(folder, experiment, count)
    printed, trouble = script.communicate()
    return subprocess.CompletedProcess([], script.returncode, printed, trouble)


def start_control_script(folder: Path, experiment: str, count: int) -> subprocess.Popen[str]:
    """A control script in a process of its own: it submits `count` runs, prints their ids and ends at once."""
    (folder / "sources").mkdir()
    (folder / "sources" / "train.py").write_text("print('hello')")
    (folder / "control.py").write_text(
        textwrap.dedent(
            f"""
            from toolkit import Experiment, ScriptRunConfig, Workspace
            config = ScriptRunConfig("sources", script="train.py")
            for _ in range({count}):
                print(Experiment(Workspace.get("test"), "{experiment}").submit(config).id)
            """
        )
    )
    command = [sys.executable, "control.py"]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_the_agent_leaves_when_it_is_idle_and_comes_back(submit: Submit, workspace: Workspace) -> None:
    configuration = workspace.paths.configuration
    configuration.write_text(configuration.read_text() + "agent_idle_seconds: 1\n")
    submit("print(1)").wait_for_completion()
    (agent,) = processes_of(workspace, "toolkit.agent")
    wait_until(lambda: not lives(agent) and not processes_of(workspace, "toolkit.agent.tracking"))
    assert not wake.is_running(workspace.paths)
    assert submit("print(2)").wait_for_completion()["status"] == "Completed"


# -- builds -------------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    (tmp_path / "requirements.txt").write_text("iniconfig\n")
    return Environment.from_pip_requirements("small", tmp_path / "requirements.txt")


USES_IT = "import iniconfig; print('has', iniconfig.__name__)"


def test_the_builder_is_killed(submit: Submit, workspace: Workspace, environment: Environment) -> None:
    run = submit(USES_IT, environment=environment)
    wait_until(lambda: processes_of(workspace, "toolkit.environments.build"))
    kill(workspace, "toolkit.environments.build")
    details = run.wait_for_completion(raise_on_error=False)
    assert details["error"]["error"] == {
        "code": "EnvironmentBuildError",
        "message": "the build of the environment was ended from outside (code -9); submit again to build it anew",
    }
    again = submit(USES_IT, environment=environment)
    assert again.wait_for_completion()["status"] == "Completed"
    assert driver_log(again) == "has iniconfig\n"


def test_the_agent_is_killed_during_a_build(submit: Submit, workspace: Workspace, environment: Environment) -> None:
    runs = [submit(USES_IT, environment=environment) for _ in range(2)]
    wait_until(lambda: processes_of(workspace, "toolkit.environments.build"))
    kill(workspace)
    for run in runs:
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run) == "has iniconfig\n"
        assert "environment" in Path(run.directory.build_log).read_text()


def test_a_cancel_ends_a_build_that_nobody_waits_for(
    submit: Submit, workspace: Workspace, environment: Environment
) -> None:
    run = submit(USES_IT, environment=environment)
    wait_until(lambda: processes_of(workspace, "toolkit.environments.build"))
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"
    wait_until(lambda: not processes_of(workspace, "toolkit.environments.build"))


# -- disks --------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A toolkit home on a file system of 12 MiB; `disk(options)` mounts it anew with them."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> bool:
        able = os.geteuid() == 0 and shutil.which("mount")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return bool(able and subprocess.run(command, check=False).returncode == 0)

    needs(mount("size=12m"), "root, and leave to mount a file system")
    monkeypatch.setenv("TOOLKIT_HOME", str(folder / "home"))

    def remount(options: str) -> None:
        """Once nobody has a file open to write, where it is to be read-only."""
        command = ["mount", "-o", f"remount,{options}", str(folder)]
        wait_until(lambda: subprocess.run(command, capture_output=True).returncode == 0)

    yield remount
    remount("rw,size=64m")
    (folder / "ballast").unlink(missing_ok=True)
    if (folder / "home" / "workspaces" / "test").is_dir():
        end_processes(Workspace.get("test"))
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "ballast").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC


def config_of(tmp_path: Path, size: int = 0) -> ScriptRunConfig:
    source = tmp_path / "source"
    source.mkdir(exist_ok=True)
    (source / "train.py").write_text("print('hello')")
    (source / "data.bin").write_bytes(os.urandom(size))
    return ScriptRunConfig(str(source), script="train.py")


def no_half_run(workspace: Workspace) -> bool:
    folders = (workspace.paths.runs, workspace.paths.active, workspace.paths.untracked)
    return [*Experiment(workspace, "tests").get_runs()] == [] and not any(os.listdir(folder) for folder in folders)


def test_a_workspace_on_a_read_only_disk(disk: Callable[[str], None], tmp_path: Path) -> None:
    workspace = Workspace.create("test")
    run = Experiment(workspace, "tests").submit(config_of(tmp_path))
    run.wait_for_completion()
    wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
    end_processes(workspace)
    disk("ro")
    with pytest.raises(StorageError, match=r"the disk is read-only: set TOOLKIT_HOME to a folder that can be written"):
        Experiment(workspace, "tests").submit(config_of(tmp_path, size=10))
    with pytest.raises(StorageError, match=r"cannot create the workspace 'other' to .*: the disk is read-only"):
        Workspace.create("other")
    again = Workspace.get("test").get_run(run.id)
    assert again.get_status() == "Completed" and "70_driver_log.txt" in str(again.get_file_names()), "it can be read"
    assert [found.id for found in Experiment(workspace, "tests").get_runs()] == [run.id]
    disk("rw")


def test_a_full_disk_during_the_snapshot(disk: Callable[[str], None], tmp_path: Path) -> None:
    workspace = Workspace.create("test")
    with pytest.raises(StorageError, match=r"Cannot write the snapshot to .*: the disk is full: free some space"):
        Experiment(workspace, "tests").submit(config_of(tmp_path, size=12 << 20))
    assert no_half_run(workspace)
    disk("size=64m")
    run = Experiment(workspace, "tests").submit(config_of(tmp_path, size=12 << 20))
    assert run.wait_for_completion()["status"] == "Completed"


def test_a_full_disk_when_the_run_is_written(disk: Callable[[str], None], tmp_path: Path) -> None:
    workspace = Workspace.create("test")
    config = config_of(tmp_path)
    experiment = Experiment(workspace, "tests")
    experiment.submit(config).wait_for_completion()  # the snapshot is there, so that only the run needs room
    end_processes(workspace)
    shutil.rmtree(workspace.paths.runs / next(iter(experiment.get_runs())).id)
    fill(tmp_path / "disk")
    with pytest.raises(StorageError, match="the disk is full: free some space there, or set TOOLKIT_HOME to a folder"):
        experiment.submit(config)
    (tmp_path / "disk" / "ballast").unlink()
    assert no_half_run(workspace)
    run = experiment.submit(config)
    assert run.wait_for_completion()["status"] == "Completed" and run.status in FINAL


def test_a_disk_that_fills_while_the_script_runs(disk: Callable[[str], None], tmp_path: Path) -> None:
    """The script's own output fails and says so; the exit record and the status still find room."""
    disk("size=64m")
    workspace = Workspace.create("test")
    config = config_of(tmp_path)
    script = """
        import os
        from toolkit import Run
        run = Run.get_context()
        run.log("loss", 1.0)
        try:
            with open("outputs/ballast", "wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 65536)
        except OSError:
            pass
        for number in range(1000):
            run.log("loss", 2.0)
        os.unlink("outputs/ballast")
        run.flush()
        raise SystemExit(7)
    """
    (tmp_path / "source" / "train.py").write_text(textwrap.dedent(script))
    run = Experiment(workspace, "tests").submit(config)
    details = run.wait_for_completion(raise_on_error=False)
    assert "exited with code 7" in details["error"]["error"]["message"]
    assert run.get_metrics() == {"loss": [1.0] + [2.0] * 1000}


def test_a_disk_that_is_full_when_the_script_ends(disk: Callable[[str], None], tmp_path: Path) -> None:
    disk("size=32m")
    workspace = Workspace.create("test")
    config = config_of(tmp_path)
    script = """
        try:
            with open("outputs/ballast", "wb", buffering=0) as file:
                while True:
                    file.write(b"x" * 4096)
        except OSError:
            raise SystemExit(7)
    """
    (tmp_path / "source" / "train.py").write_text(textwrap.dedent(script))
    run = Experiment(workspace, "tests").submit(config)
    wait_until(lambda: os.path.exists(run.directory.exit))
    assert read_json(run.directory.exit)["code"] == 7
    disk("size=128m")  # somebody makes room
    details = run.wait_for_completion(raise_on_error=False)
    assert "exited with code 7" in details["error"]["error"]["message"]


def test_a_run_whose_folder_is_deleted_by_hand_is_forgotten(workspace: Workspace, submit: Submit) -> None:
    run = submit("import time\nprint('here', flush=True)\ntime.sleep(600)", run_config={"max_retries": 1})
    wait_until(lambda: said(run, "here"))
    launcher = int(read_json(run.directory.started)["pid"])
    os.unlink(run.directory.definition)
    os.kill(launcher, signal.SIGKILL)
    wait_until(lambda: not os.listdir(workspace.paths.active))
    assert submit("pass").wait_for_completion()["status"] == "Completed"
