"""The agent as a process: one a workspace, replaced after an upgrade, not stopped by a configuration that is broken."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.conftest import Submit, lives, wait_until
from toolkit import UserErrorException, Workspace
from toolkit.agent import store, wake
from toolkit.background import background_environment


def agent_pid(workspace: Workspace) -> int:
    """The process that holds the lock of the workspace's agent."""
    inode = os.stat(workspace.paths.agent_lock).st_ino
    with open("/proc/locks") as locks:
        holders = [line.split() for line in locks if f":{inode} " in line and " FLOCK " in line]
    return int(holders[0][4])


def test_a_second_agent_leaves(submit: Submit, workspace: Workspace) -> None:
    submit("print(1)").wait_for_completion()
    command = [sys.executable, "-m", "toolkit.agent", str(workspace.paths.root)]
    assert subprocess.run(command, env=background_environment(), timeout=60).returncode == 0
    assert wake.is_running(workspace.paths)


@pytest.mark.skipif(not os.path.exists("/proc/locks"), reason="needs Linux's /proc/locks")
def test_an_agent_of_another_version_is_replaced(submit: Submit, workspace: Workspace) -> None:
    submit("print(1)").wait_for_completion()
    old = agent_pid(workspace)
    workspace.paths.agent_version.write_text("0.0.1")
    assert submit("print(2)").wait_for_completion()["status"] == "Completed"
    wait_until(lambda: not lives(old))
    assert agent_pid(workspace) != old


def test_runs_go_on_while_the_configuration_is_broken(submit: Submit, workspace: Workspace) -> None:
    run = submit("import time; time.sleep(2); print(1)")
    wait_until(lambda: run.get_status() == "Running")
    workspace.paths.configuration.write_text("compute_targets: [")
    with pytest.raises(UserErrorException, match="is not valid YAML"):
        submit("print(2)")
    assert run.wait_for_completion()["status"] == "Completed"


def test_a_target_that_is_taken_out_of_the_configuration_keeps_the_runs_it_has(
    submit: Submit, workspace: Workspace
) -> None:
    workspace.paths.configuration.write_text("compute_targets: {mine: {type: local}}\n")
    run = submit("import time; print('here', flush=True); time.sleep(600)", compute_target="mine")
    wait_until(lambda: run.get_status() == "Running")
    workspace.paths.configuration.write_text("cancel_grace_seconds: 1\n")
    assert wake.stop(workspace.paths)  # and the next agent never knew it
    run.cancel()
    assert run.wait_for_completion()["status"] == "Canceled"


def test_an_agent_with_nothing_to_do_leaves_and_the_next_submit_starts_another(
    submit: Submit, workspace: Workspace
) -> None:
    workspace.paths.configuration.write_text("agent_idle_seconds: 0.2\n")
    assert submit("print(1)").wait_for_completion()["status"] == "Completed"
    wait_until(lambda: not wake.is_running(workspace.paths))
    assert submit("print(2)").wait_for_completion()["status"] == "Completed"


def test_two_that_make_the_store_at_once_make_one(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "toolkit.agent.store", str(workspace.paths.root), "/bin/echo", "made"]
    both = [
        subprocess.Popen(
            command, env=background_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    for process in both:
        said, complained = process.communicate(timeout=120)
        assert (said, process.returncode) == ("made\n", 0), complained
    assert store.is_made(workspace.paths)
