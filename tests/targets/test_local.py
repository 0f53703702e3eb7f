"""The local target: the contract, and what is its own."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, lives, needs, wait_until
from tests.contract.target_contract import TargetContract
from toolkit import ActivityFailedException, Run, Workspace
from toolkit.inscript.files import read_json


class TestLocal(TargetContract):
    target = "local"

    def test_cpu_cluster_shares_the_slots_of_local(self) -> None:
        first = self.running()
        second = self._submit("print(1)", compute_target="cpu-cluster")
        wait_until(lambda: second.get_status() == "Queued")
        assert second.get_detailed_status()["details"] == "waiting for a free slot"
        first.cancel()
        assert second.wait_for_completion()["status"] == "Completed"

    def test_more_slots_run_more_at_once(self) -> None:
        configuration = self.workspace.paths.configuration
        configuration.write_text(configuration.read_text().replace("slots: 1", "slots: 2"))
        runs = [self.running(), self.running()]
        assert [run.get_status() for run in runs] == ["Running", "Running"]

    def test_a_script_may_submit_a_run_itself(self) -> None:
        outer = self.submit(
            """
            from toolkit import Experiment, Run, ScriptRunConfig, Workspace
            config = ScriptRunConfig(".", command="echo $TOOLKIT_RUN_DIR")
            inner = Experiment(Workspace.get("test"), "inner").submit(config)
            Run.get_context().tag("inner", inner.id)
            """
        )
        assert outer.wait_for_completion()["status"] == "Completed"
        inner = self.workspace.get_run(outer.get_tags()["inner"])
        assert inner.wait_for_completion()["status"] == "Completed"
        assert driver_log(inner).strip() == inner.directory.root

    def test_the_launcher_is_killed(self) -> None:
        run = self.running()
        script = read_json(run.directory.script)["pid"]
        os.kill(read_json(run.directory.started)["pid"], signal.SIGKILL)
        error = self.error(run)
        assert error["code"] == "LauncherLost" and "Submit it again" in error["message"]
        assert not lives(script), "nothing of the run goes on unseen"

    def test_the_script_is_killed(self) -> None:
        run = self.running()
        os.kill(read_json(run.directory.script)["pid"], signal.SIGKILL)
        assert "SIGKILL" in self.error(run)["message"]

    def test_a_launcher_that_stopped_beating_is_noticed_and_heals(self) -> None:
        run = self.running()
        launcher = read_json(run.directory.started)["pid"]
        os.kill(launcher, signal.SIGSTOP)
        an_hour_ago = time.time() - 3600
        os.utime(run.directory.heartbeat, (an_hour_ago, an_hour_ago))
        wait_until(lambda: run.get_status() == "NotResponding")
        os.kill(launcher, signal.SIGCONT)
        wait_until(lambda: run.get_status() == "Running")

    def test_the_inherited_environment_reaches_the_script_and_leaves_the_disk(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MY_TOKEN", "s3cret")
        run = self.running("import os, time; print('here', os.environ['MY_TOKEN'], flush=True); time.sleep(600)")
        assert driver_log(run).split() == ["here", "s3cret"]
        for path in Path(run.directory.root).rglob("*.json"):
            assert "s3cret" not in path.read_text(), path


def test_out_of_memory_is_told_apart(submit: Submit, tmp_path: Path) -> None:
    groups = Path("/sys/fs/cgroup/memory")
    needs(os.geteuid() == 0 and groups.is_dir() and os.access(groups, os.W_OK), "root and a memory cgroup (v1)")
    group = groups / f"toolkit-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(64 << 20))
        run = submit(
            f"""
            import os
            open({str(group / "cgroup.procs")!r}, "w").write(str(os.getpid()))
            data = [bytearray(os.urandom(1 << 20)) for _ in range(512)]
            """
        )
        with pytest.raises(ActivityFailedException):
            run.wait_for_completion()
        error = run.get_details()["error"]["error"]
        assert error["code"] == "OutOfMemory" and "smaller batch" in error["message"]
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text().strip())
        group.rmdir()


def test_a_run_survives_toolkit_stop(submit: Submit, workspace: Workspace) -> None:
    from toolkit.agent import wake

    run: Run = submit("import time; print('here', flush=True); time.sleep(1); print('done')")
    wait_until(lambda: os.path.exists(run.directory.script))
    assert wake.stop(workspace.paths)
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "here\ndone\n"
