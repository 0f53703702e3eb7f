"""An MLflow server with one worker on a free port; it ends when this process does."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from serve import serve, settings


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


port, folder = free_port(), settings()["folder"]
command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--default-artifact-root", folder + "/artifacts"]
server = subprocess.Popen(command, start_new_session=True, stdout=2)
url = f"http://127.0.0.1:{port}"


def wait():
    """The URL once the server answers; None where it ended."""
    while server.poll() is None:
        try:
            urllib.request.urlopen(url + "/health", timeout=5).close()
            return url
        except OSError:
            time.sleep(0.1)
    return None


try:
    serve(wait)
finally:
    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()
