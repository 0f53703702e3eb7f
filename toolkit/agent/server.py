"""The workspace's MLflow server: started when somebody asks for a URL, found again by everybody later."""

from __future__ import annotations

import fcntl
import functools
import importlib.metadata
import os
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Any

from toolkit import configuration
from toolkit.agent import store
from toolkit.background import start_background
from toolkit.errors import TrackingError, storage_errors
from toolkit.inscript.files import read_json, write_json
from toolkit.paths import WorkspacePaths, home

START_SECONDS = 90.0
HOST = "127.0.0.1"


def tracking_uri(paths: WorkspacePaths) -> str:
    """Where runs are recorded: what the workspace's configuration says, else its own store."""
    return configuration.load(paths.configuration).tracking_uri or store.uri(paths)


@functools.lru_cache(maxsize=1)
def our_version() -> str:
    """The version of MLflow that the toolkit itself uses."""
    return importlib.metadata.version("mlflow")


def tracking_uri_for_scripts(paths: WorkspacePaths, version: str) -> str:
    """The MLFLOW_TRACKING_URI of a script whose environment has MLflow `version` ("" for none).

    The database belongs to one version of MLflow, so a script with another one talks to the server, which is started
    for it; without MLflow nothing is started.
    """
    uri = configuration.load(paths.configuration).tracking_uri
    if uri:
        return uri
    if version and version != our_version():
        return ensure(paths, wait=False)
    return store.uri(paths)


def ensure(
    paths: WorkspacePaths, port: int | None = None, wait: bool = True, waiting: Callable[[], None] | None = None
) -> str:
    """The URL of the workspace's MLflow server, started if it does not run.

    Args:
        port: the port to listen on; by default the one it had last, else a free one.
        wait: return only when it answers.
        waiting: called again and again while it starts.

    Raises:
        TrackingError: the port is taken, or the server does not come up.
    """
    with storage_errors("cannot start the MLflow server: no state can be written", paths.mlflow):
        paths.mlflow.mkdir(parents=True, exist_ok=True)
        lock = os.open(paths.mlflow / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two that ask at once share one server
        state = running(paths)
        if state and port and port != state["port"]:
            raise TrackingError(f"the MLflow server runs on port {state['port']} already; `toolkit stop` ends it")
        if not state:
            state = _start(paths, port)
    finally:
        os.close(lock)
    url = f"http://{HOST}:{state['port']}"
    if wait:
        _wait(paths, url, int(state["pid"]), waiting)
    return url


def running(paths: WorkspacePaths) -> dict[str, Any] | None:
    """What is known of the server (`pid`, `port`), or None where it does not run."""
    state: dict[str, Any] = read_json(str(paths.server), {})
    if state and _is_ours(int(state["pid"]), paths):
        return state
    return None


def stop(paths: WorkspacePaths, seconds: float = 15.0) -> bool:
    """End the server and wait for its end. False where none ran."""
    state = running(paths)
    if state is None:
        return False
    pid = int(state["pid"])
    deadline = time.monotonic() + seconds
    os.killpg(pid, signal.SIGTERM)
    while _is_ours(pid, paths) and time.monotonic() < deadline:
        time.sleep(0.02)
    if _is_ours(pid, paths):
        os.killpg(pid, signal.SIGKILL)
    return True


def _is_ours(pid: int, paths: WorkspacePaths) -> bool:
    """Whether `pid` is a server of this workspace, and not a process that got its number later."""
    import psutil

    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(paths.mlflow_artifacts) in " ".join(process.cmdline())
    except psutil.Error:
        return False


def _start(paths: WorkspacePaths, port: int | None) -> dict[str, Any]:
    last = read_json(str(paths.server), {}).get("port")
    chosen = port or _free_port(last)
    if not _is_free(chosen):
        raise TrackingError(
            f"port {chosen} is taken by {_owner(chosen)}; choose another with `toolkit ui --port`, or leave it out"
        )
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", tracking_uri(paths)]
    command += ["--default-artifact-root", str(paths.mlflow_artifacts)]
    command += ["--host", HOST, "--port", str(chosen), "--workers", "1"]
    if tracking_uri(paths) == store.uri(paths) and not store.is_made(paths):
        command = [sys.executable, "-m", "toolkit.agent.store", str(paths.root), *command]
    pid = start_background(command, paths.server_log, paths.mlflow, mlflow_environment())
    state = {"pid": pid, "port": chosen, "started": time.time()}
    write_json(str(paths.server), state)
    return state


def mlflow_environment() -> dict[str, str]:
    """How every MLflow process of ours is set up: no telemetry, no job runner, no bars, nothing that a run told it."""
    variables = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    variables["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    if os.path.expanduser("~") == "~":  # a user id without a name and without HOME, which MLflow cannot be without
        variables["HOME"] = str(home().root)
    return variables


def _wait(paths: WorkspacePaths, url: str, pid: int, waiting: Callable[[], None] | None) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not answers(url):
        if not _is_ours(pid, paths):
            raise TrackingError(f"the MLflow server ended while it started: {_last_words(paths)}")
        if time.monotonic() > deadline:
            raise TrackingError(f"the MLflow server did not answer within {START_SECONDS:.0f} s: {_last_words(paths)}")
        if waiting is not None:
            waiting()
        time.sleep(0.05)


def answers(url: str) -> bool:
    """Whether an MLflow server answers at `url`."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _last_words(paths: WorkspacePaths) -> str:
    lines = paths.server_log.read_text(errors="replace").strip().splitlines()
    return f"{lines[-1] if lines else 'it wrote nothing'} (all of it is in {paths.server_log})"


def _free_port(preferred: int | None) -> int:
    if preferred and _is_free(preferred):
        return preferred
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def _owner(port: int) -> str:
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            listens = connection.status == psutil.CONN_LISTEN and tuple(connection.laddr)[1:] == (port,)
            if listens and connection.pid:
                return f"process {connection.pid} ({psutil.Process(connection.pid).name()})"
    except psutil.Error:
        pass
    return "another program"
