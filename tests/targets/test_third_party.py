"""A compute target of another package: an entry point, and these lines of test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY, Submit, driver_log, lives, wait_until
from tests.contract.target_contract import TargetContract, kill_agent
from toolkit import ComputeTargetException, Run, Workspace
from toolkit.inscript.files import is_locked, read_json, write_json
from toolkit.targets import registry

PACKAGES = REPOSITORY / "tests" / "rig" / "third_party"
TARGETS = (
    "compute_targets:\n  acme: {type: acme, site: north, slots: 1}\n  local: {type: local}\ncancel_grace_seconds: 1\n"
)


@pytest.fixture(autouse=True)
def _installed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PACKAGES))
    monkeypatch.setenv("PYTHONPATH", str(PACKAGES))  # for the agent
    workspace.paths.configuration.write_text(TARGETS)


class TestAcme(TargetContract):
    target = "acme"
    many = 10


def test_it_is_among_the_kinds() -> None:
    assert {"acme", "local", "ssh", "slurm", "ray", "kubernetes", "docker"} <= registry.kinds().keys()


def test_its_settings_are_checked_and_its_notice_is_said(
    submit: Submit, workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    run = submit("import os; print(os.environ['ACME_SITE'])", compute_target="acme")
    assert "'train.py' goes to Acme's site north" in capfd.readouterr().err
    run.wait_for_completion()
    assert driver_log(run) == "north\n"
    workspace.paths.configuration.write_text("compute_targets: {acme: {type: acme, slots: 1}}")
    with pytest.raises(ComputeTargetException, match="'acme' has no site: the name of a site"):
        submit("print(1)", compute_target="acme")


def test_one_that_is_broken_fails_its_own_runs_and_no_others(submit: Submit, workspace: Workspace) -> None:
    workspace.paths.configuration.write_text(TARGETS.replace("site: north", "site: nowhere"))
    broken = submit("print(1)", compute_target="acme")
    other = submit("print(1)", compute_target="local")
    assert other.wait_for_completion()["status"] == "Completed"
    details = broken.wait_for_completion(raise_on_error=False)
    assert details["error"]["error"]["code"] == "KeyError" and "nowhere" in details["error"]["error"]["message"]


def left_alone(submit: Submit, workspace: Workspace) -> Run:
    """A run whose script goes on, and no agent."""
    run = submit("import time; print(1, flush=True); time.sleep(600)", compute_target="acme")
    wait_until(lambda: os.path.exists(run.directory.driver_log) and driver_log(run))
    kill_agent(workspace)
    return run


def refuse_its_target(run: Run, workspace: Workspace) -> None:
    """Let the target of the run be one that cannot be made any more."""
    definition = read_json(run.directory.definition)
    write_json(run.directory.definition, {**definition, "target_settings": {"type": "acme"}})
    workspace.paths.configuration.write_text("compute_targets: {local: {type: local}}")


def test_one_that_can_not_be_made_any_more_holds_up_no_others(submit: Submit, workspace: Workspace) -> None:
    running = left_alone(submit, workspace)
    definition = read_json(running.directory.definition)
    refuse_its_target(running, workspace)
    assert submit("print(1)", compute_target="local").wait_for_completion()["status"] == "Completed"
    assert running.get_status() == "Running"
    assert workspace.paths.agent_log.read_text().count("'acme' has no site") == 1, "said once"
    write_json(running.directory.definition, definition)
    kill_agent(workspace)
    running.cancel()
    assert running.wait_for_completion(raise_on_error=False)["status"] == "Canceled"


AGENT = "import sys; from toolkit.agent import __main__, reconcile; reconcile.UNHEARD_SECONDS = 2.0; "
AGENT += "sys.exit(__main__.main(sys.argv))"


@pytest.mark.parametrize("why", ["the target is deaf", "the target cannot be made any more"])
def test_a_cancel_that_nobody_hears_ends_the_run_all_the_same(submit: Submit, workspace: Workspace, why: str) -> None:
    if "deaf" in why:
        workspace.paths.configuration.write_text(TARGETS.replace("site: north", "site: deaf"))
    run = left_alone(submit, workspace)
    if "deaf" not in why:
        refuse_its_target(run, workspace)
    agent = subprocess.Popen([sys.executable, "-c", AGENT, str(workspace.paths.root)])
    wait_until(lambda: is_locked(str(workspace.paths.agent_lock)))
    run.cancel()
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Canceled"
    assert lives(read_json(run.directory.script)["pid"]), "nobody has heard it"
    agent.terminate()
    agent.wait()
    os.kill(read_json(run.directory.started)["pid"], signal.SIGTERM)


def test_nothing_of_it_is_there_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    assert "acme" not in registry.kinds()
