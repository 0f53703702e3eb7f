"""Running uv and interpreters: output goes to the log line by line as it comes, and nothing outlives the build."""

from __future__ import annotations

import re
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.environments import file_lock
from toolkit.environments.pip_config import without_credentials

Log = Callable[[str], None]
"""Takes one line of the build log, without its line end."""

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")
_STOP_SECONDS = 5.0


@dataclass(frozen=True)
class Outcome:
    """How a process ended.

    Args:
        code: its exit code.
        output: standard output, whole.
        messages: standard error, with credentials taken out.
    """

    code: int
    output: str
    messages: str


def run(
    command: Sequence[str],
    log: Log,
    environ: Mapping[str, str],
    cwd: str | Path,
    stdin: str = "",
    show: bool = True,
    seconds: float | None = None,
) -> Outcome:
    """Run a command to its end, or for `seconds`. Lines of standard error go to the log unless `show` is off."""
    messages: list[str] = []
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output, tempfile.TemporaryFile("w+") as given:
        given.write(stdin)
        given.seek(0)
        process = subprocess.Popen(
            command, env=dict(environ), cwd=cwd, stdin=given, stdout=output, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace", pass_fds=file_lock.held(),
        )  # fmt: skip
        timer = threading.Timer(seconds or 0, _stop, [process])
        if seconds is not None:
            timer.start()
        try:
            assert process.stderr is not None
            for line in process.stderr:
                text = clean(line)
                messages.append(text)
                if show and text.strip():
                    log(text)
            code = process.wait()
        except BaseException:  # a signal that ends the build ends what the build has started
            _stop(process)
            raise
        finally:
            timer.cancel()
            if process.stderr is not None:
                process.stderr.close()
        output.seek(0)
        return Outcome(code, output.read(), "\n".join(messages).strip())


def clean(line: str) -> str:
    """A line for the log: no control characters, no credentials; of a redrawn line what was left standing."""
    return without_credentials(_CONTROL.sub("", line.rstrip("\r\n").rsplit("\r", 1)[-1]))


def _stop(process: subprocess.Popen[str]) -> None:
    import psutil

    try:
        parent = psutil.Process(process.pid)
        family = [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        _quietly(member.terminate)
    _, alive = psutil.wait_procs(family, timeout=_STOP_SECONDS)
    for member in alive:
        _quietly(member.kill)


def _quietly(action: Callable[[], object]) -> None:
    import psutil

    try:
        action()
    except psutil.Error:
        pass
