"""Retries by cause, priorities, and how many runs an engine is given at once."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, wait_until
from tests.contract.target_contract import kill_agent
from toolkit import Run, UserErrorException, Workspace
from toolkit.agent import retries
from toolkit.inscript import attempts
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.status import read_events
from toolkit.targets.engine_state import PREEMPTED, EngineState

SLEEP_AT_FIRST = """\
import os, time
print("attempt", os.environ["TOOLKIT_ATTEMPT"], os.environ.get("GREETING"), flush=True)
if os.environ["TOOLKIT_ATTEMPT"] == "1":
    time.sleep(600)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(str(tmp_path / "run_1"))
    os.makedirs(made.root)
    return made


def policy(count: int, *causes: str) -> dict[str, object]:
    return {"retry": {"max_retries": count, **({"retry_on": [*causes]} if causes else {})}}


@pytest.mark.parametrize(
    ("record", "cause", "asked", "words"),
    [
        (None, "", policy(1), "attempt 2 of 2: its machine was lost"),
        (None, PREEMPTED, policy(3), "attempt 2 of 4: it was pre-empted"),
        ({"reason": "stopped"}, PREEMPTED, policy(1), "attempt 2 of 2: it was pre-empted"),
        ({"reason": "stopped"}, "", policy(1), "attempt 2 of 2: its machine was lost"),
        ({"reason": "timed_out"}, "", policy(1), "attempt 2 of 2: its time was over"),
        ({"reason": "timed_out"}, "", policy(1, "preempted"), ""),
        ({"reason": "out_of_memory"}, "", policy(1), ""),
        ({"reason": "out_of_memory"}, "", policy(1, "out_of_memory"), "attempt 2 of 2: it ran out of memory"),
        ({"reason": "exited", "code": 1}, "", policy(1), ""),
        ({"reason": "exited", "code": 0}, PREEMPTED, policy(1), ""),
        ({"reason": "signal"}, "", policy(1), ""),
        ({"reason": "not_started"}, "", policy(1), ""),
        (None, "", policy(0), ""),
        (None, "", {}, ""),
    ],
)
def test_the_cause_decides(
    run: RunDirectory, record: dict[str, object] | None, cause: str, asked: dict[str, object], words: str
) -> None:
    if record:
        write_json(run.exit, record)
    if cause:
        EngineState("Test", cause=cause).note(run)
    assert retries.due(run, asked) == words


def test_as_often_as_asked_and_not_when_cancelled(run: RunDirectory) -> None:
    for number in (2, 3):
        assert retries.due(run, policy(2)) == f"attempt {number} of 3: its machine was lost"
        assert attempts.set_aside(run) == number
    assert retries.due(run, policy(2)) == ""
    write_json(run.cancel, {})
    assert retries.due(run, policy(9)) == ""


def test_setting_aside_can_be_ended_in_the_middle(run: RunDirectory) -> None:
    for path in (run.started, run.script, run.exit):
        write_json(path, {"pid": 1})
    os.makedirs(os.path.join(run.attempts, "1.tmp"))
    os.replace(run.exit, os.path.join(run.attempts, "1.tmp", "exit.json"))
    assert attempts.is_halfway(run) and attempts.count(run) == 0
    assert attempts.set_aside(run) == 2
    assert not attempts.is_halfway(run)
    assert sorted(os.listdir(os.path.join(run.attempts, "1"))) == ["exit.json", "script.json", "started.json"]


def test_a_time_out_is_tried_again_where_it_is_asked_for(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GREETING", "hello")
    found = submit(SLEEP_AT_FIRST, max_run_duration_seconds=1, run_config={"max_retries": 1, "retry_on": ["timed_out"]})
    assert found.wait_for_completion()["status"] == "Completed"
    assert driver_log(found) == "attempt 1 hello\nattempt 2 hello\n", "the submitter's variables are there again"
    assert not os.path.exists(found.directory.environ), "and gone in the end"


def test_the_target_says_it_for_all_its_runs(submit: Submit, workspace: Workspace) -> None:
    text = "compute_targets:\n  local: {type: local, max_retries: 1}\ncancel_grace_seconds: 1\n"
    workspace.paths.configuration.write_text(text)
    found = submit(SLEEP_AT_FIRST)
    wait_until(lambda: os.path.exists(found.directory.driver_log) and driver_log(found))
    os.kill(read_json(found.directory.started)["pid"], signal.SIGKILL)
    assert found.wait_for_completion()["status"] == "Completed"
    own = submit(SLEEP_AT_FIRST, run_config={"max_retries": 0})
    wait_until(lambda: os.path.exists(own.directory.driver_log) and driver_log(own))
    os.kill(read_json(own.directory.started)["pid"], signal.SIGKILL)
    assert own.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_a_run_that_is_cancelled_between_two_attempts(submit: Submit) -> None:
    first = submit(SLEEP_AT_FIRST, run_config={"max_retries": 5})
    wait_until(lambda: os.path.exists(first.directory.driver_log) and driver_log(first))
    first.cancel()
    assert first.wait_for_completion()["status"] == "Canceled"
    assert driver_log(first).count("attempt") == 1


def test_the_highest_priority_goes_first(submit: Submit) -> None:
    def at(priority: int | None) -> Run:
        return submit("import time; print(time.time())", run_config={"priority": priority})

    holder = submit("import time; time.sleep(1.5)")
    runs = [at(None), at(-1), at(5), at(5)]
    for one in (holder, *runs):
        one.wait_for_completion()
    times = [float(driver_log(one)) for one in runs]
    assert times[2] < times[3] < times[0] < times[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"max_retries": -1}, "max_retries is -1; it must be a whole number, 0 or more"),
        ({"max_retries": "often"}, "max_retries is 'often'"),
        ({"retry_on": ["always"]}, "must be a list of preempted, node_lost, timed_out, out_of_memory"),
        ({"priority": "high"}, "priority is 'high'; it must be a whole number"),
    ],
)
def test_what_cannot_be_is_refused(
    submit: Submit, workspace: Workspace, options: dict[str, object], words: str
) -> None:
    with pytest.raises(UserErrorException, match=words.replace("(", "\\(")):
        submit("print(1)", run_config=options)
    assert not os.path.isdir(workspace.paths.runs) or not os.listdir(workspace.paths.runs)


def test_events_say_each_attempt(submit: Submit) -> None:
    found = submit(SLEEP_AT_FIRST, max_run_duration_seconds=1, run_config={"max_retries": 1})
    found.wait_for_completion()
    statuses = [event.status for event in read_events(found.directory)]
    assert statuses[-6:] == ["Queued", "Running", "Queued", "Running", "Finalizing", "Completed"]


def test_an_agent_that_is_killed_between_two_attempts(submit: Submit, workspace: Workspace) -> None:
    found = submit(SLEEP_AT_FIRST, run_config={"max_retries": 1})
    wait_until(lambda: os.path.exists(found.directory.driver_log) and driver_log(found))
    kill_agent(workspace)
    launcher, script = (read_json(path)["pid"] for path in (found.directory.started, found.directory.script))
    os.kill(launcher, signal.SIGKILL)
    os.kill(script, signal.SIGKILL)
    attempts.set_aside(found.directory, with_plan=True)  # and it had not come to say so in the events
    assert found.wait_for_completion()["status"] == "Completed"
    assert driver_log(found) == "attempt 1 None\nattempt 2 None\n"


def test_a_damaged_run_does_not_hold_up_the_others(submit: Submit, workspace: Workspace) -> None:
    damaged = workspace.paths.run("damaged_1")
    os.makedirs(damaged.root)
    Path(damaged.definition).write_text("{")
    (workspace.paths.active / damaged.id).touch()
    assert submit("print(1)").wait_for_completion()["status"] == "Completed"
    (workspace.paths.active / damaged.id).unlink()
    assert workspace.paths.agent_log.read_text().count("damaged_1") == 1, "said once"
