"""Sweeps: real ones, with real children on this machine."""

from __future__ import annotations

import itertools
import json
import os
import signal
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import driver_log, lives, wait_until
from toolkit import Environment, Experiment, Run, ScriptRunConfig, UserErrorException, Workspace
from toolkit.distributed import MpiConfiguration
from toolkit.inscript.files import read_json
from toolkit.status import last_event
from toolkit.sweeps import (
    BanditPolicy,
    BayesianParameterSampling,
    GridParameterSampling,
    HyperDriveConfig,
    HyperDriveRun,
    HyperDriveRunConfig,
    PrimaryMetricGoal,
    RandomParameterSampling,
    choice,
    uniform,
)
from toolkit.sweeps.children import arguments, ids

SCRIPT = """
    import argparse, sys, time
    from toolkit import Run

    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float)
    parser.add_argument("--units", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0)
    parser.add_argument("--resume-from")
    given = parser.parse_args()
    run = Run.get_context()
    print(given)
    if given.lr < 0:
        sys.exit("lr is below 0")
    for epoch in range(given.epochs):
        run.log("accuracy", given.lr * given.units * (epoch + 1))
        time.sleep(given.pause)
"""
SLOTS = "compute_targets: {local: {type: local, slots: 3}}\ncancel_grace_seconds: 1\n"


@pytest.fixture
def source(workspace: Workspace, tmp_path: Path) -> Path:
    workspace.paths.configuration.write_text(SLOTS)
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "train.py").write_text(textwrap.dedent(SCRIPT))
    return folder


def config(source: Path, space: dict[str, Any], more: list[object] | None = None, **options: Any) -> HyperDriveConfig:
    script = ScriptRunConfig(str(source), "train.py", arguments=["--units", 1, *(more or [])])
    asked = {"max_total_runs": 20, "max_concurrent_runs": 3, "hyperparameter_sampling": GridParameterSampling(space)}
    return HyperDriveConfig(
        primary_metric_name="accuracy",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        run_config=script,
        **{**asked, **options},
    )


def submit(workspace: Workspace, config: HyperDriveConfig) -> HyperDriveRun:
    run = Experiment(workspace, "sweeps").submit(config)
    assert isinstance(run, HyperDriveRun)
    return run


def children(run: HyperDriveRun) -> list[Run]:
    return [Run(run.experiment, run_id) for run_id in ids(run.directory)]


def test_a_grid(workspace: Workspace, source: Path) -> None:
    run = submit(workspace, config(source, {"--lr": choice(0.1, 0.3, 0.2), "units": choice(1, 2)}))
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    assert run.type == "hyperdrive" and run.id.startswith("HD_")
    found = children(run)
    assert [child.id for child in found] == [f"{run.id}_{number}" for number in range(6)]
    assert {child.get_status() for child in found} == {"Completed"}
    assert {child.parent.id for child in found if child.parent} == {run.id}
    assert json.loads(found[1].get_tags()["hyperparameters"]) == {"--lr": 0.1, "units": 2}
    assert len({child.get_snapshot_id() for child in found}) == 1, "frozen once"

    best = run.get_best_run_by_primary_metric()
    assert best is not None and best.id == f"{run.id}_3"
    assert best.get_details()["runDefinition"]["arguments"] == ["--units", "2", "--lr", "0.3"]
    assert best.get_metrics()["accuracy"] == pytest.approx([0.6, 1.2, 1.8])
    assert run.get_metrics()[best.id] == best.get_metrics()
    assert run.get_hyperparameters()[best.id] == '{"--lr": 0.3, "units": 2}'
    assert run.get_properties()["best_child_run_id"] == best.id

    ranked = run.get_children_sorted_by_primary_metric()
    assert [one["best_primary_metric"] for one in ranked] == sorted(
        (one["best_primary_metric"] for one in ranked), reverse=True
    )
    assert ranked[0] == {
        "run_id": best.id,
        "hyperparameters": '{"--lr": 0.3, "units": 2}',
        "best_primary_metric": pytest.approx(1.8),
        "status": "Completed",
    }
    assert run.get_children_sorted_by_primary_metric(top=1, reverse=True)[0]["run_id"] == ranked[-1]["run_id"]
    assert "azureml-logs/hyperdrive.txt" in run.get_file_names()
    assert isinstance(Run.get(workspace, run.id), HyperDriveRun)


def test_a_policy_ends_the_worse_ones_early(workspace: Workspace, source: Path) -> None:
    policy = BanditPolicy(slack_factor=0.1, evaluation_interval=1, delay_evaluation=2)
    space = {"--lr": choice(0.9, 0.1, 0.2)}
    run = submit(workspace, config(source, space, ["--epochs", 100, "--pause", 0.05], policy=policy))
    assert run.wait_for_completion()["status"] == "Completed"
    assert [child.get_status() for child in children(run)] == ["Completed", "Canceled", "Canceled"]
    assert "ended early by the policy Bandit" in driver_log(run)
    best = run.get_best_run_by_primary_metric()
    assert best is not None and best.id == f"{run.id}_0"
    assert len(children(run)[1].get_metrics()["accuracy"]) < 100
    assert run.get_children_sorted_by_primary_metric()[-1]["status"] == "Canceled"


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("local: {type: local, slots: 1}", "compute target 'local' takes 1, so the others wait; for more set slots of"),
        ("local: {type: local, shares: mine}, mine: {type: local, slots: 2}", "compute target 'mine' takes 2, so"),
        ("local: {type: local, slots: 3}", ""),
    ],
)
def test_what_a_target_makes_of_runs_at_once_is_said(
    workspace: Workspace, source: Path, capfd: pytest.CaptureFixture[str], targets: str, said: str
) -> None:
    workspace.paths.configuration.write_text(f"compute_targets: {{{targets}}}\ncancel_grace_seconds: 1\n")
    submit(workspace, config(source, {"--lr": choice(0.1, 0.2, 0.3)})).cancel()
    lines = [line for line in capfd.readouterr().err.splitlines() if "at once" in line]
    assert len(lines) == bool(said) and all(said in line for line in lines)
    if said:
        assert lines[0].startswith("toolkit: the sweep asks for 3 runs at once and ")


def test_no_more_at_once_and_in_all_than_asked_for(workspace: Workspace, source: Path) -> None:
    sampling = RandomParameterSampling({"--lr": uniform(0, 1)}, properties={"seed": 5})
    script = ScriptRunConfig(str(source), "train.py")
    asked = HyperDriveConfig(sampling, "accuracy", PrimaryMetricGoal.MINIMIZE, 4, 1, run_config=script)
    run = submit(workspace, asked)
    run.wait_for_completion()
    found = children(run)
    spans = [(read_json(one.directory.started)["time"], read_json(one.directory.exit)["time"]) for one in found]
    assert len(found) == 4 and all(ended <= began for (_, ended), (began, _) in itertools.pairwise(spans))
    best = run.get_best_run_by_primary_metric()
    assert best is not None
    values = {run_id: json.loads(text)["--lr"] for run_id, text in run.get_hyperparameters().items()}
    assert values[best.id] == min(values.values()), "MINIMIZE"


def test_cancelling_ends_the_children(workspace: Workspace, source: Path) -> None:
    run = submit(workspace, config(source, {"--lr": choice(1, 2, 3, 4)}, ["--pause", 60]))
    wait_until(lambda: len(ids(run.directory)) == 3 and all(child.get_metrics() for child in children(run)))
    pids = [read_json(child.directory.script)["pid"] for child in children(run)]
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"
    wait_until(lambda: all(child.get_status() == "Canceled" for child in children(run)))
    assert len(children(run)) == 3 and not any(lives(pid) for pid in pids)


def test_the_agent_may_be_killed_in_the_middle(workspace: Workspace, source: Path) -> None:
    run = submit(workspace, config(source, {"--lr": choice(1, 2, 3, 4, 5, 6)}, ["--pause", 0.3]))
    wait_until(lambda: len(ids(run.directory)) >= 3 and children(run)[0].get_metrics())
    os.kill(agent_of(workspace), signal.SIGKILL)
    wait_until(lambda: last_event(run.directory).status in ("Completed", "Failed"), 90)
    assert [child.get_status() for child in children(run)] == ["Completed"] * 6
    assert all(len(child.get_metrics()["accuracy"]) == 3 for child in children(run)), "each ran once"


def agent_of(workspace: Workspace) -> int:
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if words[1:3] == ["-m", "toolkit.agent"] and words[-1] == str(workspace.paths.root):
            return int(process.pid)
    raise AssertionError("no agent")


def test_a_controller_that_is_killed_takes_the_children_with_it(workspace: Workspace, source: Path) -> None:
    run = submit(workspace, config(source, {"--lr": choice(1, 2)}, ["--pause", 60]))
    wait_until(lambda: len(ids(run.directory)) == 2 and all(child.get_metrics() for child in children(run)))
    os.kill(read_json(run.directory.script)["pid"], signal.SIGKILL)
    wait_until(lambda: run.get_status() == "Failed")
    wait_until(lambda: all(child.get_status() == "Canceled" for child in children(run)))


def test_two_sweeps_at_once(workspace: Workspace, source: Path) -> None:
    runs = [submit(workspace, config(source, {"--lr": choice(first, first + 1)})) for first in (1, 5)]
    assert [run.wait_for_completion()["status"] for run in runs] == ["Completed", "Completed"]
    best = [run.get_best_run_by_primary_metric() for run in runs]
    assert [one and one.get_metrics()["accuracy"][-1] for one in best] == [6.0, 18.0]


def test_a_broken_script_is_not_started_again_and_again(workspace: Workspace, source: Path) -> None:
    run = submit(workspace, config(source, {"--lr": choice([-1 - number for number in range(20)])}))
    details = run.wait_for_completion(raise_on_error=False)
    assert details["status"] == "Failed" and 3 <= len(children(run)) <= 6
    assert "children failed; the first one's log: toolkit logs" in details["error"]["error"]["message"]
    assert run.get_best_run_by_primary_metric() is None


def test_some_children_may_fail(workspace: Workspace, source: Path) -> None:
    run = submit(workspace, config(source, {"--lr": choice(-1, 0.5)}))
    assert run.wait_for_completion()["status"] == "Completed"
    ranked = run.get_children_sorted_by_primary_metric()
    assert [(one["status"], one["best_primary_metric"]) for one in ranked] == [("Completed", 1.5), ("Failed", None)]
    assert len(run.get_children_sorted_by_primary_metric(discard_no_metric=True)) == 1


def test_a_sweep_whose_time_is_over(workspace: Workspace, source: Path) -> None:
    space = {"--lr": choice(1, 2, 3, 4, 5)}
    run = submit(workspace, config(source, space, ["--pause", 60], max_duration_minutes=0.05))
    assert run.wait_for_completion()["status"] == "Completed"
    assert len(children(run)) <= 3 and {child.get_status() for child in children(run)} == {"Canceled"}
    assert "max_duration_minutes=0.05 is over" in driver_log(run)


def test_one_that_learns_from_another_and_goes_on_with_a_child(workspace: Workspace, source: Path) -> None:
    space = {"--lr": choice(0.1, 0.9)}
    first = submit(workspace, config(source, space))
    first.wait_for_completion()
    best = first.get_best_run_by_primary_metric()
    second = submit(
        workspace,
        config(
            source,
            space,
            hyperparameter_sampling=BayesianParameterSampling(space),
            max_total_runs=2,
            resume_from=[first],
            resume_child_runs=[best],
        ),
    )
    second.wait_for_completion()
    resumed = children(second)[0]
    assert best is not None and f"resume_from='{best.directory.outputs}'" in driver_log(resumed)
    assert json.loads(resumed.get_tags()["hyperparameters"]) == {"--lr": 0.9}
    assert len(second._definition()["hyperdrive"]["earlier"]) == 2


def test_children_in_containers(workspace: Workspace, source: Path, python_base_image: str) -> None:
    workspace.paths.configuration.write_text("compute_targets: {box: {type: docker, slots: 2}}\n")
    script = ScriptRunConfig(
        str(source),
        "train.py",
        compute_target="box",
        environment=Environment.from_docker_image("mine", python_base_image),
    )
    sampling = GridParameterSampling({"--lr": choice(1, 2)})
    run = submit(workspace, HyperDriveConfig(sampling, "accuracy", PrimaryMetricGoal.MAXIMIZE, 2, run_config=script))
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    best = run.get_best_run_by_primary_metric()
    assert best is not None and best.get_metrics()["accuracy"] == [2.0, 4.0, 6.0]


def test_children_of_several_processes(workspace: Workspace, source: Path) -> None:
    processes = MpiConfiguration(process_count_per_node=2)
    script = ScriptRunConfig(str(source), "train.py", distributed_job_config=processes)
    sampling = GridParameterSampling({"--lr": choice(1, 2)})
    run = submit(workspace, HyperDriveConfig(sampling, "accuracy", PrimaryMetricGoal.MAXIMIZE, 2, run_config=script))
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    assert [len(child.get_metrics()["accuracy"]) for child in children(run)] == [6, 6]
    assert run._definition()["distributed"] is None, "the controller itself is one process"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["--units", "1"], ["--units", "1", "--lr", "0.1"]),
        (["--lr", "9", "x"], ["--lr", "0.1", "x"]),
        (["--lr=9", "x"], ["--lr=0.1", "x"]),
        ([], ["--lr", "0.1"]),
    ],
)
def test_the_arguments_of_a_child(given: list[str], expected: list[str]) -> None:
    assert arguments(given, {"lr": 0.1}) == arguments(given, {"--lr": 0.1}) == expected


def test_values_as_text() -> None:
    assert arguments([], {"-a": True, "b": [1, 2], "c": "x"}) == ["-a", "True", "--b", "[1, 2]", "--c", "x"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_total_runs": 0}, "max_total_runs is 0: it must be from 1 to 1000"),
        ({"max_concurrent_runs": 0}, "max_concurrent_runs is 0"),
        ({"max_duration_minutes": 0}, "max_duration_minutes is 0"),
        ({"hyperparameter_sampling": {"lr": 1}}, "it takes a HyperParameterSampling"),
        ({"policy": "bandit"}, "it takes a EarlyTerminationPolicy"),
        ({"pipeline": object()}, "a sweep of a pipeline is not offered"),
        ({"estimator": ScriptRunConfig(".", "train.py")}, "give either run_config, a ScriptRunConfig, or estimator"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, source: Path, workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match=message):
        config(source, {"--lr": choice(1)}, **options)


def test_an_id_of_one_s_own(source: Path, workspace: Workspace) -> None:
    for run_id in ("../outside", "a.b", "a/b"):
        with pytest.raises(UserErrorException, match="cannot be the id of a run"):
            submit(workspace, config(source, {"--lr": choice(1)}, custom_run_id=run_id))
    with pytest.raises(UserErrorException, match="custom_run_id"):
        Experiment(workspace, "sweeps").submit(config(source, {"--lr": choice(1)}), run_id="mine")
    run = submit(workspace, config(source, {"--lr": choice(1)}, custom_run_id="mine"))
    with pytest.raises(UserErrorException, match="there is a run 'mine'"):
        submit(workspace, config(source, {"--lr": choice(1)}, custom_run_id="mine"))
    run.wait_for_completion()
    assert (run.id, children(run)[0].id) == ("mine", "mine_0")


def test_the_older_name(source: Path) -> None:
    script = ScriptRunConfig(str(source), "train.py")
    sampling = GridParameterSampling({"--lr": choice(1)})
    asked = HyperDriveRunConfig(script, sampling, "accuracy", PrimaryMetricGoal.MINIMIZE, 3)
    assert asked.estimator is script and asked.run_config is script.run_config
    assert asked.source_directory == str(source)
    assert PrimaryMetricGoal.from_str("minimize") is PrimaryMetricGoal.MINIMIZE
