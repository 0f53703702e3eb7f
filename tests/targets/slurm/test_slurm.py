"""What is Slurm's own of its target: its queue, requeue and pre-emption, arrays, GPUs, a controller that goes away."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, wait_until
from tests.contract.target_contract import kill_agent
from tests.rig.slurm import Slurm
from tests.targets.slurm.conftest import job_of
from toolkit import ActivityFailedException, Run, Workspace, configuration
from toolkit.errors import ToolkitError
from toolkit.status import read_events
from toolkit.targets import registry
from toolkit.targets.base import Handle, Phase
from toolkit.targets.engine_state import EngineState

HERE = "import time\nprint('here', flush=True)\ntime.sleep(600)"
RESUME = """
    import os, time
    kept = os.path.join(os.environ["TOOLKIT_CHECKPOINTS"], "step")
    if os.path.exists(kept):
        print("resumed at", open(kept).read(), "in attempt", os.environ["TOOLKIT_ATTEMPT"])
    else:
        open(kept, "w").write("7")
        print("here", os.environ["OF_SUBMITTER"], flush=True)
        time.sleep(600)
"""


def start(submit: Submit, script: str = HERE, **options: object) -> Run:
    run = submit(script, **{"compute_target": "many", **options})
    wait_until(lambda: os.path.exists(run.directory.driver_log) and "here" in driver_log(run))
    return run


def statuses(run: Run) -> list[str]:
    return [event.status for event in read_events(run.directory)]


def error(run: Run) -> dict[str, str]:
    with pytest.raises(ActivityFailedException):
        run.wait_for_completion()
    said: dict[str, str] = run.get_details()["error"]["error"]
    return said


@pytest.fixture
def full(slurm: Slurm) -> Iterator[str]:
    """A job that has the whole cluster, in the partition whose jobs nobody pre-empts."""
    asked = ["--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 600"]
    job = slurm.call("sbatch", "--parsable", "--partition=urgent", *asked)
    wait_until(lambda: slurm.call("squeue", "-h", "-j", job, "-o", "%T") == "RUNNING")
    yield job
    slurm.call("scancel", job)
    slurm.wait_idle()


def test_a_run_that_slurm_has_not_started_is_queued_and_can_be_cancelled(submit: Submit, full: str) -> None:
    run = submit("print('never')", compute_target="many")
    wait_until(lambda: (EngineState.of(run.directory) or EngineState("")).state == "PENDING")
    assert run.get_status() == "Queued"
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"
    assert not os.path.exists(run.directory.driver_log)


def test_a_run_that_has_waited_is_not_said_to_wait_while_it_runs(submit: Submit, slurm: Slurm, full: str) -> None:
    run = submit(HERE, compute_target="many")
    wait_until(lambda: (EngineState.of(run.directory) or EngineState("")).state == "PENDING")
    slurm.call("scancel", full)
    wait_until(lambda: run.get_status() == "Running")
    wait_until(lambda: "RUNNING" in run.get_detailed_status()["details"])
    run.cancel()


def test_a_folder_that_is_deleted_by_hand_hinders_no_other_run(workspace: Workspace) -> None:
    target = registry.create("many", configuration.load(workspace.paths.configuration), workspace.paths)
    gone = Handle(str(workspace.paths.run("gone").root), "4000000")
    wait_until(lambda: target.poll([gone])[gone] is Phase.LOST)


def test_a_burst_of_runs_is_few_jobs(submit: Submit, slurm: Slurm) -> None:
    submit("pass", compute_target="many").wait_for_completion()
    script = "import os, sys; print(sys.argv[1], os.environ['SLURM_JOB_ID'])"
    runs = [submit(script, compute_target="many", arguments=[number]) for number in range(20)]
    for number, run in enumerate(runs):
        assert run.wait_for_completion()["status"] == "Completed"
        assert driver_log(run).split()[0] == str(number)
    jobs = {job_of(run).partition("_")[0] for run in runs}
    assert len(jobs) < 10
    assert len({job_of(run) for run in runs}) == 20


def test_one_of_an_array_is_cancelled_alone(submit: Submit) -> None:
    runs = [submit(HERE, compute_target="many") for _ in range(6)]
    for run in runs:
        wait_until(lambda run=run: os.path.exists(run.directory.driver_log) and "here" in driver_log(run))
    task = next(run for run in runs if "_" in job_of(run))
    task.cancel()
    assert task.wait_for_completion()["status"] == "Canceled"
    assert {run.get_status() for run in runs if run is not task} == {"Running"}


def test_a_requeued_run_goes_on_in_its_folder(submit: Submit, slurm: Slurm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OF_SUBMITTER", "mine")
    run = start(submit, RESUME, run_config={"max_retries": 2})
    slurm.call("scontrol", "requeue", job_of(run))
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "here mine\nresumed at 7 in attempt 2\n"
    assert statuses(run)[-6:] == ["Queued", "Running", "Queued", "Running", "Finalizing", "Completed"]


def test_a_preempted_run_goes_on_when_there_is_room_again(
    submit: Submit, slurm: Slurm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_SUBMITTER", "mine")
    run = start(submit, RESUME, run_config={"max_retries": 1})
    slurm.call("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 3")
    wait_until(lambda: run.get_status() == "Queued")
    kill_agent(run.experiment.workspace)
    assert run.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "here mine\nresumed at 7 in attempt 2\n"


def test_a_preempted_run_that_asked_for_no_retry_fails_and_says_so(submit: Submit, slurm: Slurm) -> None:
    run = start(submit)
    slurm.call("sbatch", "--partition=urgent", "--nodes=2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    said = error(run)
    assert said["code"] == "Preempted" and "max_retries" in said["message"]
    slurm.wait_idle()


def test_a_job_that_somebody_cancels_with_scancel_is_cancelled(submit: Submit, slurm: Slurm) -> None:
    run = start(submit, run_config={"max_retries": 2})
    slurm.call("scancel", job_of(run))
    assert run.wait_for_completion()["status"] == "Canceled"


def test_gpus_are_slurm_s_and_not_the_submitter_s(submit: Submit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("SLURM_JOB_ID", "99999")
    script = "import os; print(os.environ.get('CUDA_VISIBLE_DEVICES'), os.environ['SLURM_JOB_ID'])"
    run = submit(script, compute_target="gpus")
    run.wait_for_completion()
    assert driver_log(run).split() == ["0", job_of(run)]
    run = submit(script, compute_target="many")
    run.wait_for_completion()
    assert driver_log(run).split()[0] == "None"


def test_nothing_is_lost_while_the_controller_is_away(submit: Submit, slurm: Slurm) -> None:
    run = start(submit, "import time; print('here', flush=True); time.sleep(4); print('done')")
    slurm.stop_controller()
    try:
        later = submit("print('later')", compute_target="many")
        assert run.wait_for_completion()["status"] == "Completed"
        assert later.get_status() == "Queued"
    finally:
        slurm.start_controller()
        slurm.wait_idle()
    assert later.wait_for_completion()["status"] == "Completed"
    assert driver_log(run) == "here\ndone\n" and driver_log(later) == "later\n"


def test_what_sbatch_refuses_is_the_error(submit: Submit, workspace: Workspace) -> None:
    configuration = workspace.paths.configuration
    configuration.write_text(configuration.read_text().replace("many: {", "many: {partition: nowhere, "))
    said = error(submit("pass", compute_target="many"))
    assert said["code"] == "LaunchError" and "invalid partition specified: nowhere" in said["message"]


def test_an_interpreter_that_the_nodes_do_not_have(submit: Submit, workspace: Workspace) -> None:
    text = workspace.paths.configuration.read_text()
    workspace.paths.configuration.write_text(text.replace("python: /", "python: /no/such/"))
    said = error(submit("pass", compute_target="many"))
    assert said["code"] == "NotStarted" and "/no/such/" in said["message"]


def test_what_sbatch_is_asked_for(submit: Submit, workspace: Workspace, slurm: Slurm) -> None:
    own = 'partition: main, account: vision, cpus: 2, memory: 300m, time: "01:00:00", options: [--nice=7]'
    configuration = workspace.paths.configuration
    configuration.write_text(configuration.read_text().replace("many: {", f"many: {{{own}, "))
    run = start(submit, max_run_duration_seconds=120)
    job = dict(word.partition("=")[::2] for word in slurm.call("scontrol", "show", "job", job_of(run)).split())
    run.cancel()
    run.wait_for_completion()
    assert job["JobName"] == run.id and job["Account"] == "vision" and job["Nice"] == "7"
    assert job["TimeLimit"] == "00:05:00", "two minutes and a margin, in which the launcher records the time-out"
    assert job["NumCPUs"] == "2" and job["MinMemoryNode"] == "300M" and job["Requeue"] == "0"


def test_no_job_is_left_of_a_run_that_was_cancelled_at_once(submit: Submit, slurm: Slurm) -> None:
    for pause in (0.0, 0.02, 0.05):
        run = submit(HERE, compute_target="many")
        time.sleep(pause)
        run.cancel()
        assert run.wait_for_completion()["status"] == "Canceled"
        assert not Path(run.directory.root, ".failure").exists()
    wait_until(lambda: not slurm.call("squeue", "-h"))


def test_the_doctor_sees_the_partitions(workspace: Workspace, tmp_path: Path) -> None:
    settings = workspace.configuration.compute_targets["slurm"]
    assert "main* 2 nodes up" in registry.examine("slurm", settings)
    nowhere = tmp_path / "slurm.conf"
    nowhere.write_text("ClusterName=nowhere\nSlurmctldHost=nowhere(127.0.0.1)\nSlurmctldPort=1\n")
    with pytest.raises(ToolkitError, match="sinfo"):
        registry.examine("slurm", {**settings, "config": str(nowhere)})
