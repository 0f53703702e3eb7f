"""What is checked before a run goes to Slurm, and what its words come to: pure."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Submit, wait_until
from toolkit import ComputeTargetException, Workspace
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.base import Plan
from toolkit.targets.slurm import request
from toolkit.targets.slurm.client import Client, JobState, parse_states
from toolkit.targets.slurm.settings import SETTINGS, seconds_of
from toolkit.targets.slurm.watch import Watch


@pytest.mark.parametrize(
    ("time", "seconds"),
    [("90", 5400), ("30:00", 1800), ("12:00:00", 43200), ("2-00", 172800), ("1-12:30", 131400), ("0-0:0:10", 10)],
)
def test_times_as_slurm_writes_them(time: str, seconds: int) -> None:
    assert seconds_of(time) == seconds


@pytest.mark.parametrize(
    ("setting", "value", "taken"),
    [
        ("time", "12:00:00", True),
        ("time", 43200, False),  # what YAML makes of 12:00:00 without quotes
        ("time", "soon", False),
        ("options", ["--exclusive", "--nice=100", "--mail-user=me@example.com"], True),
        ("options", ["--array=1-9"], False),
        ("options", ["--output=x"], False),
        ("options", ["-N2"], False),
        ("options", ["--nice=1\n--wrap=x"], False),
        ("partition", "gpu,long", True),
        ("partition", "--wrap=x", False),
        ("partition", "a b", False),
        ("memory", "32g", True),
        ("config", "slurm.conf", False),
    ],
)
def test_settings(setting: str, value: object, taken: bool) -> None:
    assert SETTINGS[setting].accepts(value) is taken


def definition(**more: object) -> dict[str, object]:
    return {"distributed": None, "max_run_duration_seconds": None, "retry": {"max_retries": 0}, **more}


def test_the_request_of_a_distributed_run() -> None:
    distributed = {"kind": "pytorch", "nodes": 2, "processes": 8}
    settings = {"gpus": 4, "gpu_type": "a100", "memory": "2g", "partition": "long", "options": ["--exclusive"]}
    asked = request.options(settings, definition(distributed=distributed, retry={"max_retries": 3}), 10)
    assert {"--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=4", "--gres=gpu:a100:4", "--mem=2048M"} <= {*asked}
    assert {"--requeue", "--partition=long", "--exclusive"} <= {*asked}


def test_slurm_s_limit_is_above_ours_and_never_above_what_the_target_says() -> None:
    assert "--time=4" in request.options({}, definition(max_run_duration_seconds=60), 10)
    assert "--time=60" in request.options({"time": "1:00:00"}, definition(max_run_duration_seconds=90000), 10)
    assert not [one for one in request.options({}, definition(), 10) if one.startswith("--time")]


def test_the_runs_of_a_batch_script_are_found_in_it_again(tmp_path: Path) -> None:
    roots = [str(tmp_path / name) for name in ("a", "it's a ü $HOME `id`", "esac")]
    plans = [Plan(RunDirectory(root), [], {}, container={"options": [], "python": "python3"}) for root in roots]
    assert request.runs_of(request.script(plans)) == roots


def test_states_are_read_as_text() -> None:
    said = "17|RUNNING|None|one\n18_3|PENDING|Resources|\n19|CANCELLED by 1000|None|two\n\nslurm says hello\n"
    assert parse_states(said) == {
        "17": JobState("RUNNING", "None", "one"),
        "18_3": JobState("PENDING", "Resources", ""),
        "19": JobState("CANCELLED", "None", "two"),
    }


def test_a_machine_without_slurm_says_so(
    submit: Submit, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ComputeTargetException, match="this machine has no sbatch: submit on a machine of the cluster"):
        submit("pass", compute_target="many")
    assert not list(workspace.paths.runs.iterdir())


def test_variables_of_sbatch_are_not_heeded_and_that_is_said(
    submit: Submit, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SBATCH_ACCOUNT", "vision")
    submit("pass", compute_target="many").wait_for_completion()
    assert "SBATCH_ACCOUNT is not heeded" in capsys.readouterr().err


def test_a_watch_that_fails_asks_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    watch = Watch(Client(), str(tmp_path / "wake"))
    for _ in range(2):
        watch.hurry()
        watch.look(["no-number"])
        wait_until(lambda: not watch._asking)
    assert "no-number" in capfd.readouterr().err
