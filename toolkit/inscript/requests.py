"""What a script asks of its workspace: a file in the run directory, which the tracker answers with another.

requests/<name>.json            the request, whole when it is there: {"operation", "fields", "time"}
requests/<name>.work            touched again and again while somebody works on the answer
requests/<name>.files/          what the script hands over with it
requests/<name>.reply.json      the answer, which takes the request away: {"value"} or {"error": {"kind", "message"}}

So a script needs no connection and no MLflow, in a container as well; and a request outlives an agent that is killed:
the next one answers it.
"""

import os
import shutil
import time
from typing import Any, Callable, Dict, Optional

from toolkit.inscript import errors
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake_agent_of

NO_ANSWERS = "TOOLKIT_NO_ANSWERS"  # a variable that names the engine from where nobody sees a script's requests
PATIENCE_SECONDS = 60.0  # without an answer, or a sign that somebody works on it
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.005, 0.1


class Request:
    """The files of one request."""

    def __init__(self, run: RunDirectory, name: str) -> None:
        self.name = name
        self.folder = os.path.join(run.root, "requests")
        base = os.path.join(self.folder, name)
        self.path, self.work, self.files, self.reply = (
            base + ending for ending in (".json", ".work", ".files", ".reply.json")
        )


def ask(
    run: RunDirectory,
    operation: str,
    fields: Dict[str, Any],
    hand_over: Optional[Callable[[str], None]] = None,
    patience: Optional[float] = None,
) -> Any:
    """Ask, and wait for the answer.

    Args:
        run: the directory of the submitted run.
        operation: as in "models.register"; `fields` are its arguments, plain JSON.
        hand_over: puts files into the folder that it is given, before anybody sees the request.
        patience: seconds without an answer or a sign of life; `PATIENCE_SECONDS` by default.

    Raises:
        ToolkitError: the answer is an error, or there is none in time: then the request is taken back.
    """
    engine = os.environ.get(NO_ANSWERS)
    if engine:
        raise errors.ToolkitError(
            "'%s' cannot be asked for by a script on %s: what it writes reaches the machine that submitted the run, "
            "and nothing comes back. Write what it is about to outputs/, and do it in a control script when the run "
            "has ended, as in run.register_model(...)" % (operation, engine)
        )
    request = Request(run, "%017.6f-%d-%s" % (time.time(), os.getpid(), os.urandom(3).hex()))
    os.makedirs(request.folder, 0o700, exist_ok=True)
    try:
        if hand_over is not None:
            os.mkdir(request.files, 0o700)
            hand_over(request.files)
        write_json(request.path, {"operation": operation, "fields": fields, "time": time.time()})
        wake_agent_of(run, b"request\n")
        reply = _wait(request, operation, PATIENCE_SECONDS if patience is None else patience)
    finally:
        _tidy(request)
    if "error" in reply:
        raise _error(reply["error"])
    return reply.get("value")


def _wait(request: Request, operation: str, patience: float) -> Dict[str, Any]:
    sign, since = None, time.time()
    pause = FIRST_PAUSE_SECONDS
    while True:
        reply: Optional[Dict[str, Any]] = read_json(request.reply)
        if reply is not None:
            return reply
        latest = _changed(request.work)
        if latest != sign:
            sign, since = latest, time.time()
        if time.time() - since > patience:
            raise errors.ToolkitError(
                "'%s' was not answered within %.0f s. Scripts ask the agent of their workspace, and it does not run, "
                "or MLflow does not answer it: `toolkit doctor` on the machine that submitted the run says which. The "
                "run and its files are kept: what could not be done here can be done later, from a control script"
                % (operation, patience)
            )
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE_SECONDS)


def _changed(path: str) -> Optional[float]:
    try:
        return os.stat(path).st_mtime
    except OSError:
        return None


def _tidy(request: Request) -> None:
    for path in (request.path, request.work, request.reply):
        try:
            os.unlink(path)
        except OSError:
            pass
    shutil.rmtree(request.files, ignore_errors=True)


def _error(found: Dict[str, Any]) -> Exception:
    """The error of an answer, of its own class where a script can know that."""
    kind = getattr(errors, str(found.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, errors.ToolkitError)):
        kind = errors.ToolkitError
    error: Exception = kind(str(found.get("message")))
    return error
