"""What is in MLflow after a run, and while it runs, read through MLflow's public client."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.conftest import Submit, driver_log, lives, wait_until
from toolkit import Environment, Experiment, Run, ScriptRunConfig, TrackingError, Workspace
from toolkit.agent import wake
from toolkit.agent.artifacts import artifact_name
from toolkit.agent.server import answers, mlflow_environment
from toolkit.inscript.files import read_json, write_json

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as MlflowRun


def client_of(workspace: Workspace) -> MlflowClient:
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=workspace.get_mlflow_tracking_uri())


def whole(run: Run) -> MlflowRun:
    """The MLflow run, when MLflow has all of it."""
    paths = run.experiment.workspace.paths
    wait_until(lambda: not (paths.untracked / run.id).exists())
    return known(run)


def known(run: Run) -> MlflowRun:
    """The MLflow run, as soon as there is one."""
    wait_until(lambda: read_json(run.directory.tracking, {}).get("mlflow_run_id"))
    return client_of(run.experiment.workspace).get_run(read_json(run.directory.tracking)["mlflow_run_id"])


def history(run: Run, name: str) -> list[tuple[float, int]]:
    """The values and steps of a metric as MLflow gives them back."""
    found = client_of(run.experiment.workspace).get_metric_history(known(run).info.run_id, name)
    return [(metric.value, metric.step) for metric in found]


def artifacts(run: Run) -> set[str]:
    client, run_id = client_of(run.experiment.workspace), known(run).info.run_id

    def below(folder: str | None) -> Iterator[str]:
        for entry in client.list_artifacts(run_id, folder):
            if entry.is_dir:
                yield from below(entry.path)
            else:
                yield entry.path

    return {*below(None)}


def text_of(run: Run, name: str, folder: Path) -> str:
    client = client_of(run.experiment.workspace)
    return Path(client.download_artifacts(known(run).info.run_id, name, str(folder))).read_text()


def tracker_of(workspace: Workspace) -> int:
    marker = str(workspace.paths.root)
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "toolkit.agent.tracking" in command and marker in command:
            return process.pid
    raise AssertionError("no tracker")


def replay(run: Run) -> None:
    """Let the tracker begin again with what the run logged, as if it had been ended before it wrote down how far."""
    state = read_json(run.directory.tracking)
    write_json(run.directory.tracking, {**state, "offsets": {}, "artifacts": {}, "status": ""})
    paths = run.experiment.workspace.paths
    (paths.untracked / run.id).touch()
    wake.wake(paths)


EVERYTHING = """
import io, os, time
from toolkit import Run
run = Run.get_context()
for number in range(5):
    run.log("loss", 2.0 / (number + 1))
    time.sleep(0.002)
run.log("stepped", 1.0, step=2000)
run.log("stepped", 0.5, step=4000)
for value in (float("nan"), float("inf"), float("-inf")):
    run.log("special", value)
run.log("flag", True)
run.log("note", "a text")
run.log("odd name: 100%", 1.0)
run.log_list("curve", [3, 2, 1])
run.log_row("fit", epoch=1, loss=0.5)
run.log_row("fit", epoch=2, loss=0.25)
run.log_table("grid", {"x": [1, 2], "label": ["a", "b"]})
run.tag("kind", "whole")
run.tag("gone", "soon")
run.remove_tags(["gone"])
run.add_properties({"p": 1})
run.upload_file("kept/stream.bin", io.BytesIO(b"stream"))
open("outputs/model.bin", "wb").write(b"weights")
os.makedirs("outputs/deep/er"); open("outputs/deep/er/a.txt", "w").write("a")
open("logs/events.txt", "w").write("event")
print("driver says hello")
"""


@pytest.mark.shared_home
class TestWholeRun:
    """One run that does everything, looked at from many sides."""

    _made: tuple[Run, float, float]

    @pytest.fixture
    def run(self, workspace: Workspace, tmp_path: Path) -> Run:
        if not hasattr(TestWholeRun, "_made"):
            source = tmp_path / "source"
            source.mkdir()
            (source / "train.py").write_text(EVERYTHING)
            git = ["git", "-C", str(source), "-c", "user.name=me", "-c", "user.email=me@example.com"]
            for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
                subprocess.run([*git, *words], check=True)
            subprocess.run([*git, "remote", "add", "origin", "https://example.com/me/project.git"], check=True)
            arguments = ["--lr", 0.1, "--epochs=2", "--cuda", "data"]
            config = ScriptRunConfig(str(source), script="train.py", arguments=arguments)
            began = time.time()
            run = Experiment(workspace, "day1").submit(config, tags={"given": "at submit"})
            run.wait_for_completion()
            TestWholeRun._made = (run, began, time.time())
        return TestWholeRun._made[0]

    def test_experiment_name_status_and_times(self, run: Run, workspace: Workspace) -> None:
        found = whole(run)
        _, began, ended = self._made
        assert client_of(workspace).get_experiment(found.info.experiment_id).name == "day1"
        assert (found.info.run_name, found.info.status) == (run.id, "FINISHED")
        assert int(began * 1000) <= found.info.start_time <= found.info.end_time <= int(ended * 1000) + 1
        assert found.data.tags["toolkit.run_id"] == run.id
        assert found.data.tags["toolkit.status"] == "Completed"
        assert {"snapshot", "queue", "start", "first_metric", "script"} <= {
            *json.loads(found.data.tags["toolkit.seconds"])
        }

    def test_params_are_the_arguments(self, run: Run) -> None:
        assert whole(run).data.params == {"lr": "0.1", "epochs": "2", "cuda": "data"}

    def test_metrics_with_steps_and_wall_times_in_order(self, run: Run, workspace: Workspace) -> None:
        found = client_of(workspace).get_metric_history(whole(run).info.run_id, "loss")
        assert [(metric.value, metric.step) for metric in found] == [(2.0 / (n + 1), n) for n in range(5)]
        times = [metric.timestamp for metric in found]
        assert times == sorted(times) and len({*times}) == 5
        assert self._made[1] * 1000 - 1 <= times[0] and times[-1] <= self._made[2] * 1000 + 1
        assert history(run, "stepped") == [(1.0, 2000), (0.5, 4000)]
        assert whole(run).data.metrics["loss"] == 0.4, "the last one"

    def test_nan_and_infinities(self, run: Run) -> None:
        (nan, _), (plus, _), (minus, _) = history(run, "special")
        assert math.isnan(nan)
        assert plus > 1e300 and minus < -1e300  # a database may hold them as its largest numbers

    def test_a_name_that_mlflow_does_not_take_is_changed(self, run: Run) -> None:
        (name,) = [name for name in whole(run).data.metrics if name.startswith("odd name: 100_")]
        assert history(run, name) == [(1.0, 0)]

    def test_lists_and_rows_are_curves(self, run: Run) -> None:
        assert history(run, "curve") == [(3, 0), (2, 1), (1, 2)]
        assert history(run, "fit/epoch") == [(1, 0), (2, 1)] and history(run, "fit/loss") == [(0.5, 0), (0.25, 1)]
        assert history(run, "grid/x") == [(1, 0), (2, 1)]

    def test_tags(self, run: Run) -> None:
        tags = whole(run).data.tags
        assert (tags["given"], tags["kind"], tags["toolkit.property.p"]) == ("at submit", "whole", "1")
        assert tags["toolkit.text.note"] == "a text" and "gone" not in tags

    def test_source_and_git_tags(self, run: Run) -> None:
        tags = whole(run).data.tags
        assert tags["mlflow.source.name"] == "train.py" and tags["mlflow.source.type"] == "LOCAL"
        assert tags["mlflow.source.git.branch"] == "main" and len(tags["mlflow.source.git.commit"]) == 40
        assert tags["mlflow.source.git.repoURL"] == "https://example.com/me/project.git"
        assert tags["toolkit.snapshot_id"] == run.get_snapshot_id() and tags["mlflow.user"]

    def test_artifacts(self, run: Run, tmp_path: Path) -> None:
        whole(run)
        assert artifacts(run) == {
            *("azureml-logs/60_control_log.txt", "azureml-logs/70_driver_log.txt", "logs/events.txt"),
            *("outputs/model.bin", "outputs/deep/er/a.txt", "kept/stream.bin"),
            *("tables/fit.json", "tables/grid.json", "toolkit/environment.json", "toolkit/metrics.jsonl"),
        }
        assert text_of(run, "azureml-logs/70_driver_log.txt", tmp_path) == "driver says hello\n"
        assert text_of(run, "outputs/model.bin", tmp_path) == "weights"
        assert "ended: " in text_of(run, "azureml-logs/60_control_log.txt", tmp_path)

    def test_tables_are_what_mlflow_shows(self, run: Run, tmp_path: Path) -> None:
        grid = json.loads(text_of(run, "tables/grid.json", tmp_path))
        assert grid == {"columns": ["x", "label"], "data": [[1, "a"], [2, "b"]]}
        shown = json.loads(whole(run).data.tags["mlflow.loggedArtifacts"])
        assert {"path": "tables/grid.json", "type": "table"} in shown

    def test_what_mlflow_has_no_word_for_is_kept_as_it_was(self, run: Run, tmp_path: Path) -> None:
        lines = [json.loads(line) for line in text_of(run, "toolkit/metrics.jsonl", tmp_path).splitlines()]
        kept = {(line["kind"], line["name"]): line["value"] for line in lines}
        assert kept[("metric", "flag")] is True and kept[("metric", "note")] == "a text"
        assert kept[("list", "curve")] == [3, 2, 1] and kept[("table", "grid")] == {"x": [1, 2], "label": ["a", "b"]}

    def test_mlflow_searches_it(self, run: Run, workspace: Workspace) -> None:
        info = whole(run).info
        found = client_of(workspace).search_runs([info.experiment_id], "params.lr = '0.1' and metrics.loss < 0.5")
        assert [one.info.run_id for one in found] == [info.run_id]

    def test_a_replay_changes_nothing(self, run: Run) -> None:
        names = {*whole(run).data.metrics}
        before = {name: history(run, name) for name in names - {"special"}}
        replay(run)
        assert {*whole(run).data.metrics} == names
        assert {name: history(run, name) for name in names - {"special"}} == before
        assert len(history(run, "special")) == 3
        assert known(run).info.status == "FINISHED"


@pytest.mark.shared_home
class TestRuns:
    def test_failed_and_cancelled(self, submit: Submit) -> None:
        failed = submit("raise ValueError('no such layer')")
        failed.wait_for_completion(raise_on_error=False)
        found = whole(failed)
        assert found.info.status == "FAILED" and found.data.tags["toolkit.status"] == "Failed"
        assert "ValueError: no such layer" in found.data.tags["toolkit.error"]
        cancelled = submit("import time; time.sleep(600)")
        wait_until(lambda: cancelled.get_status() == "Running")
        cancelled.cancel()
        cancelled.wait_for_completion()
        found = whole(cancelled)
        assert found.info.status == "KILLED" and found.data.tags["toolkit.status"] == "Canceled"

    @pytest.mark.parametrize("opening", ["if True:", "with mlflow.start_run():"])
    def test_the_script_s_own_mlflow_calls_land_in_the_same_run(self, opening: str, submit: Submit) -> None:
        run = submit(
            f"""
            import mlflow
            from toolkit import Run
            Run.get_context().log("ours", 1.0)
            {opening}
                mlflow.log_metric("theirs", 2.0, step=3)
                mlflow.log_param("depth", 4)
                mlflow.set_tag("who", "script")
                mlflow.log_text("words", "theirs.txt")
            Run.get_context().log("ours", 2.0)
            """
        )
        assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
        found = whole(run)
        assert found.data.metrics == {"ours": 2.0, "theirs": 2.0}
        assert found.data.params == {"depth": "4"} and found.data.tags["who"] == "script"
        assert "theirs.txt" in artifacts(run)
        assert found.info.status == "FINISHED"

    def test_logs_and_metrics_are_there_while_the_run_goes_on(self, submit: Submit, tmp_path: Path) -> None:
        go = tmp_path / "go"
        run = submit(
            f"""
            import os, time
            from toolkit import Run
            run = Run.get_context()
            run.log("loss", 1.0)
            open("logs/events.txt", "w").write("event")
            open("outputs/model.bin", "w").write("half a model")
            print("half way")
            while not os.path.exists({str(go)!r}):
                time.sleep(0.01)
            run.log("loss", 2.0)
            print("end")
            """
        )
        wait_until(lambda: {"azureml-logs/70_driver_log.txt", "logs/events.txt"} <= artifacts(run))
        wait_until(lambda: history(run, "loss") == [(1.0, 0)])
        assert known(run).info.status == "RUNNING" and run.get_status() == "Running"
        assert text_of(run, "azureml-logs/70_driver_log.txt", tmp_path) == "half way\n"
        assert "outputs/model.bin" not in artifacts(run)
        go.touch()
        run.wait_for_completion()
        whole(run)
        assert text_of(run, "azureml-logs/70_driver_log.txt", tmp_path) == "half way\nend\n"
        assert history(run, "loss") == [(1.0, 0), (2.0, 1)]
        assert "outputs/model.bin" in artifacts(run)

    def test_several_processes_of_a_script(self, submit: Submit) -> None:
        run = submit(
            """
            import os
            from toolkit import Run
            run = Run.get_context()
            pids = []
            for rank in range(3):
                pid = os.fork()
                if pid == 0:
                    for number in range(50):
                        run.log(f"rank{rank}", number)
                    os._exit(0)
                pids.append(pid)
            for pid in pids:
                os.waitpid(pid, 0)
            """
        )
        run.wait_for_completion()
        whole(run)
        for rank in range(3):
            assert history(run, f"rank{rank}") == [(number, number) for number in range(50)]

    def test_files_with_names_that_are_no_text_or_odd(self, submit: Submit) -> None:
        run = submit(
            r"""
            import os
            open("outputs/plain.txt", "w").write("x")
            for name in (b"\xff\xfe.bin", b"a b#c%20d?.txt", "ümläut.txt".encode(), b"line\nbreak", b"kept.tmp"):
                with open(b"outputs/" + name, "w") as file:
                    file.write("x")
            """
        )
        run.wait_for_completion()
        other = submit("print('other')")
        other.wait_for_completion()
        whole(other)
        whole(run)
        assert {
            "outputs/plain.txt",
            "outputs/ümläut.txt",
            artifact_name("outputs/a b#c%20d?.txt"),
            "outputs/kept.tmp",
        } <= artifacts(run)

    def test_a_run_that_was_deleted_in_mlflow_blocks_no_other(self, submit: Submit, workspace: Workspace) -> None:
        configuration = workspace.paths.configuration
        configuration.write_text(configuration.read_text().replace("slots: 1", "slots: 2"))
        deleted = submit(
            """
            import time
            from toolkit import Run
            run = Run.get_context()
            print("here", flush=True)
            while True:
                run.log("loss", 1.0)
                time.sleep(0.05)
            """
        )
        wait_until(lambda: os.path.exists(deleted.directory.driver_log) and "here" in driver_log(deleted))
        client_of(workspace).delete_run(known(deleted).info.run_id)
        others = [submit("from toolkit import Run; Run.get_context().log('loss', 2.0)") for _ in range(2)]
        for other in others:
            assert other.wait_for_completion()["status"] == "Completed"
            assert whole(other).data.metrics == {"loss": 2.0}
        deleted.cancel()
        assert deleted.wait_for_completion()["status"] == "Canceled"
        assert whole(deleted).info.lifecycle_stage == "deleted", "it stays deleted, and nobody waits for it"

    def test_an_experiment_that_was_deleted_in_mlflow_comes_back(self, submit: Submit, workspace: Workspace) -> None:
        first = submit("print(1)", experiment="deleted")
        first.wait_for_completion()
        experiment_id = whole(first).info.experiment_id
        client_of(workspace).delete_experiment(experiment_id)
        second = submit("from toolkit import Run; Run.get_context().log('loss', 2.0)", experiment="deleted")
        second.wait_for_completion()
        assert whole(second).data.metrics == {"loss": 2.0}
        assert client_of(workspace).get_experiment(experiment_id).lifecycle_stage == "active"

    def test_a_tag_after_the_end(self, submit: Submit) -> None:
        run = submit("print(1)")
        run.wait_for_completion()
        whole(run)
        run.tag("late", "yes")
        wait_until(lambda: known(run).data.tags.get("late") == "yes")
        assert known(run).info.status == "FINISHED"


@pytest.fixture
def many(workspace: Workspace) -> Run:
    """A run with 20,000 metrics of which MLflow has nothing yet; no agent is there."""
    offline = Run.get_context()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_OFFLINE_QUIET", "1")
        for number in range(10_000):
            offline.log("loss", float(number))
            offline.log("accuracy", number / 10_000)
    run = Experiment(workspace, "many").import_offline_run(offline.id)
    with contextlib.suppress(AssertionError):
        wait_until(lambda: wake.is_running(workspace.paths), 10)
    _kill_agent_and_tracker(workspace)
    return run


def _kill_agent_and_tracker(workspace: Workspace) -> None:
    marker = str(workspace.paths.root)
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if marker in command and {"toolkit.agent", "toolkit.agent.tracking"} & {*command}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            wait_until(lambda pid=process.pid: not lives(pid))  # type: ignore[misc]


def test_a_tracker_that_is_killed_again_and_again_gives_each_metric_once(many: Run, workspace: Workspace) -> None:
    command = [sys.executable, "-m", "toolkit.agent.tracking", str(workspace.paths.root)]
    mark = workspace.paths.untracked / many.id
    client_of(workspace)  # its first use takes longer than all that follows

    def last() -> float:
        """The last value that MLflow has: as far as it was ever brought."""
        return known(many).data.metrics.get("loss", -1.0)

    before = -1.0
    for _ in range(4):
        with subprocess.Popen(command, stdin=subprocess.PIPE) as tracker:
            try:
                wait_until(lambda before=before: last() > before)  # type: ignore[misc]
                time.sleep(random.uniform(0, 0.1))  # anywhere between two batches
            finally:
                tracker.kill()
        before = last()
    assert mark.exists(), "it was killed in the middle"
    with subprocess.Popen(command, stdin=subprocess.PIPE) as tracker:
        try:
            wait_until(lambda: not mark.exists())
        finally:
            assert tracker.stdin is not None
            tracker.stdin.close()
    assert history(many, "loss") == [(float(number), number) for number in range(10_000)]
    assert history(many, "accuracy") == [(number / 10_000, number) for number in range(10_000)]


# -- a team's server ----------------------------------------------------------------------------------------------


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


Serve = Callable[[int], str]


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """`serve(port)`: a real MLflow server, as a team has it, with a database of its own; one for the module."""
    folder = tmp_path_factory.mktemp("server")
    servers: list[subprocess.Popen[bytes]] = []

    def start(port: int) -> str:
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
        command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        environ = {**os.environ, **mlflow_environment()}
        with (folder / "log").open("ab") as log:
            servers.append(
                subprocess.Popen(command, stdout=log, stderr=log, env=environ, cwd=folder, start_new_session=True)
            )
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), 120)
        return url

    yield start
    for server in servers:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


LOGS_A_BIT = """
from toolkit import Run
run = Run.get_context()
for number in range(3):
    run.log("loss", number)
run.log_list("curve", [1, 2])
for name in ("plain.txt", "a b#c%20d?.txt", "ümläut.txt"):
    open("outputs/" + name, "w").write("x")
"""


def without_mlflow() -> Environment:
    """The interpreter below the test's venv: a script there never waits for MLflow."""
    environment = Environment("bare")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = getattr(sys, "_base_executable", sys.executable)
    return environment


def test_a_server_that_is_down_slows_nothing_and_gets_everything_later(
    submit: Submit, workspace: Workspace, serve: Serve
) -> None:
    port = free_port()
    configuration = workspace.paths.configuration
    configuration.write_text(
        configuration.read_text().replace("tracking_uri:\n", f"tracking_uri: http://127.0.0.1:{port}\n")
    )
    assert workspace.get_mlflow_tracking_uri() == f"http://127.0.0.1:{port}"
    down = [submit(LOGS_A_BIT, environment=without_mlflow()), submit(LOGS_A_BIT)]
    for run in down:
        assert run.wait_for_completion()["status"] == "Completed"
        assert (workspace.paths.untracked / run.id).exists()
    with pytest.raises(
        TrackingError, match=f"The run itself goes on, and everything arrives when http://127.0.0.1:{port}"
    ):
        down[0].get_portal_url()
    serve(port)
    up = submit(LOGS_A_BIT + "open('outputs/a#1.txt', 'w').close()\nopen('outputs/a#2.txt', 'w').close()\n")
    assert up.wait_for_completion()["status"] == "Completed"
    for run in (*down, up):
        found = whole(run)
        assert found.info.status == "FINISHED"
        assert history(run, "loss") == [(0, 0), (1, 1), (2, 2)] and history(run, "curve") == [(1, 0), (2, 1)]
        assert {"outputs/plain.txt", "outputs/ümläut.txt", "azureml-logs/70_driver_log.txt"} <= artifacts(run)
        assert "toolkit/metrics.jsonl" in artifacts(run)
    assert {artifact_name("outputs/a#1.txt"), artifact_name("outputs/a#2.txt")} <= artifacts(up)
    known_as = read_json(up.directory.tracking)
    assert up.get_portal_url().startswith(
        f"http://127.0.0.1:{port}/#/experiments/{known_as['experiment_id']}/runs/{known_as['mlflow_run_id']}"
    )
    assert not workspace.paths.mlflow_database.exists(), "nothing went elsewhere"


def test_metrics_of_the_script_s_own_mlflow_calls_are_the_run_s(submit: Submit, workspace: Workspace) -> None:
    run = submit("""
        import mlflow
        from toolkit import Run
        for step in range(3):
            mlflow.log_metric("accuracy", step / 4, step=step)
            Run.get_context().log("loss", 1 - step / 4)
        mlflow.log_metrics({"nan": float("nan"), "once": 7})
    """)
    run.wait_for_completion()
    wait_until(lambda: not (workspace.paths.untracked / run.id).exists())
    metrics = run.get_metrics()
    assert str(metrics.pop("nan")) == "nan"
    assert metrics == {"accuracy": [0.0, 0.25, 0.5], "loss": [1.0, 0.75, 0.5], "once": 7.0}
    from mlflow import MlflowClient

    client = MlflowClient(workspace.get_mlflow_tracking_uri())
    mlflow_run_id = read_json(run.directory.tracking)["mlflow_run_id"]
    for name, count in (("accuracy", 3), ("loss", 3), ("once", 1)):
        assert len(client.get_metric_history(mlflow_run_id, name)) == count
    with run.experiment.start_logging(snapshot_directory=None) as after:
        after.log("loss", 1)
    wait_until(lambda: not (workspace.paths.untracked / after.id).exists())
    state = read_json(after.directory.tracking)
    write_json(
        after.directory.tracking, {key: state[key] for key in state if key != "metrics"}
    )  # as before it was kept
    after.tag("seen")
    wait_until(lambda: not (workspace.paths.untracked / after.id).exists())
    assert not (Path(after.directory.spool) / "mlflow.jsonl").exists() and after.get_metrics() == {"loss": 1}
