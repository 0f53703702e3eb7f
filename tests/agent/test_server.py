"""The workspace's MLflow server: started when asked for, found again, stopped; and the page that its URL opens."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Submit, lives, needs
from toolkit import TrackingError, Workspace
from toolkit.agent import server
from toolkit.inscript.files import read_json, write_json


def toolkit(*words: str) -> subprocess.CompletedProcess[str]:
    """The toolkit's command, in a process of its own."""
    return subprocess.run([sys.executable, "-m", "toolkit.cli", *words], capture_output=True, text=True)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield int(holder.getsockname()[1])


def page_of(url: str, profile: Path) -> str:
    """The page as a browser has it, its scripts run."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    needs(browser, "chromium")
    assert browser is not None
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    flags += ["disable-component-update", "disable-sync", f"user-data-dir={profile}", "virtual-time-budget=15000"]
    command = [browser, *(f"--{flag}" for flag in flags), "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, errors="replace").stdout


@pytest.mark.shared_home
class TestServer:
    """In this order: each test leaves the server as the next one finds it, since a start takes seconds."""

    def test_a_port_that_is_taken(self, workspace: Workspace, taken_port: int) -> None:
        with pytest.raises(TrackingError) as caught:
            server.ensure(workspace.paths, taken_port)
        message = str(caught.value)
        assert message.startswith(f"port {taken_port} is taken by process {os.getpid()} (")
        assert "choose another with `toolkit ui --port`, or leave it out" in message
        answer = toolkit("ui", "-w", "test", "--port", str(taken_port))
        assert answer.returncode == 1 and f"port {taken_port} is taken by" in answer.stderr
        assert server.running(workspace.paths) is None

    def test_the_portal_url_opens_the_run(self, submit: Submit, tmp_path: Path) -> None:
        run = submit("from toolkit import Run\nfor n in range(20): Run.get_context().log('loss', 2.0 / (n + 1))")
        run.wait_for_completion()
        url = run.get_portal_url()
        known = read_json(run.directory.tracking)
        assert re.fullmatch(
            rf"http://127\.0\.0\.1:\d+/#/experiments/{known['experiment_id']}/runs/{known['mlflow_run_id']}\?.*", url
        )
        with urllib.request.urlopen(url.partition("#")[0]) as response:
            assert response.status == 200
        page = page_of(url, tmp_path / "profile")
        assert run.id in page and "loss" in page

    def test_a_second_process_finds_the_same_server(self, workspace: Workspace) -> None:
        state = server.running(workspace.paths)
        assert state is not None
        answer = toolkit("ui", "-w", "test")
        assert answer.returncode == 0 and f"http://127.0.0.1:{state['port']}/#/experiments" in answer.stdout
        assert server.running(workspace.paths) == state
        assert server.ensure(workspace.paths) == f"http://127.0.0.1:{state['port']}"

    def test_another_port_while_it_runs_says_what_to_do(self, workspace: Workspace) -> None:
        state = server.running(workspace.paths)
        assert state is not None
        with pytest.raises(TrackingError, match=f"runs on port {state['port']} already; `toolkit stop` ends it"):
            server.ensure(workspace.paths, state["port"] + 1)

    def test_only_this_machine_reaches_it(self, workspace: Workspace) -> None:
        import psutil

        state = server.running(workspace.paths)
        assert state is not None
        listening = {
            connection.laddr.ip
            for connection in psutil.net_connections("tcp")
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == state["port"]
        }
        assert listening == {"127.0.0.1"}

    def test_toolkit_stop_ends_it(self, workspace: Workspace) -> None:
        state = server.running(workspace.paths)
        assert state is not None
        answer = toolkit("stop", "-w", "test")
        assert answer.returncode == 0 and "MLflow UI" in answer.stdout
        assert not lives(state["pid"]) and server.running(workspace.paths) is None
        assert not server.answers(f"http://127.0.0.1:{state['port']}")
        assert toolkit("stop", "-w", "test").stdout == "Nothing was running\n"

    def test_a_server_that_ends_while_it_starts_says_why(self, workspace: Workspace) -> None:
        workspace.paths.mlflow.mkdir(exist_ok=True)
        with pytest.raises(TrackingError) as caught:
            configuration = workspace.paths.configuration
            before = configuration.read_text()
            try:
                configuration.write_text(before.replace("tracking_uri:\n", "tracking_uri: nosuchscheme://x\n"))
                server.ensure(workspace.paths)
            finally:
                configuration.write_text(before)
        assert "the MLflow server ended while it started: " in str(caught.value)
        assert str(workspace.paths.server_log) in str(caught.value)

    def test_the_pid_of_another_program_is_not_taken_for_it(self, workspace: Workspace) -> None:
        workspace.paths.mlflow.mkdir(exist_ok=True)
        write_json(str(workspace.paths.server), {"pid": os.getpid(), "port": 1})
        assert server.running(workspace.paths) is None
        assert not server.stop(workspace.paths)
        workspace.paths.server.unlink()
