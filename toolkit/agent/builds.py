"""Environment builds as the agent runs them: one process a build, which all runs that wait for it share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.environments import store
from toolkit.environments.request import Request
from toolkit.images import image as images
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths, home


@dataclass
class Build:
    """A build that goes on, and the runs that wait for it."""

    key: str
    process: subprocess.Popen[bytes]
    log: Path
    waiting: list[RunDirectory] = field(default_factory=list)


class Builds:
    """Starts builds, shares them, ends those that nobody waits for any more."""

    def __init__(self, paths: WorkspacePaths) -> None:
        self._folder = paths.agent / "builds"
        self._builds: dict[str, Build] = {}

    def want(self, run: RunDirectory, environment: dict[str, Any]) -> None:
        """Have the run's environment built; the log of the build is the run's own from its first line on."""
        key = environment["key"]
        build = self._builds.get(key)
        if build is None:
            build = self._builds[key] = self._start(key, environment)
        if not any(waiting.id == run.id for waiting in build.waiting):
            build.waiting.append(run)
            _share_log(build.log, run.build_log)

    def _start(self, key: str, environment: dict[str, Any]) -> Build:
        self._folder.mkdir(parents=True, exist_ok=True)
        request = self._folder / f"{key}.json"
        write_json(str(request), environment)
        log = self._folder / f"{key}.txt"
        log.unlink(missing_ok=True)  # an older build's log belongs to the runs that share it
        log.touch(mode=0o600)
        command = [sys.executable, "-m", "toolkit.environments.build", "--request", str(request), "--log", str(log)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
        return Build(key, process, log)

    def finished(self) -> list[tuple[Build, str]]:
        """The builds that ended since the last call, each with its error message or ""."""
        ended = []
        for key, build in list(self._builds.items()):
            code = build.process.poll()
            if code is not None:
                del self._builds[key]
                ended.append((build, "" if code == 0 else _error(key, code)))
        return ended

    def forget(self, run: RunDirectory) -> None:
        """The run does not wait any more. A build that nobody waits for is ended."""
        for build in self._builds.values():
            build.waiting = [waiting for waiting in build.waiting if waiting.id != run.id]
            if not build.waiting and build.process.poll() is None:
                build.process.terminate()

    def busy(self) -> bool:
        return bool(self._builds)


def _share_log(log: Path, run_log: str) -> None:
    """Let the run have the build's log as its own file: the same one where the disk allows, else a link to it."""
    if os.path.lexists(run_log):
        os.unlink(run_log)
    try:
        os.link(log, run_log)
    except OSError:
        os.symlink(log, run_log)


def unshare_log(run: RunDirectory) -> None:
    """Replace a link to a build's log by what it holds, now that the build is over."""
    if os.path.islink(run.build_log):
        content = os.path.realpath(run.build_log)
        os.unlink(run.build_log)
        if os.path.exists(content):
            shutil.copyfile(content, run.build_log)


def _error(key: str, code: int) -> str:
    recorded = read_json(str(home().environments / "logs" / f"{key}.error.json"), {}).get("message")
    if recorded and code > 0:
        return str(recorded)
    return f"the build of the environment was ended from outside (code {code}); submit again to build it anew"


def find_environment(wanted: dict[str, Any]) -> dict[str, Any] | None:
    """What `environment.json` says of the environment of a definition; None where it is yet to be built."""
    user_managed = bool(wanted["user_managed"])
    if wanted.get("image"):
        image = images.find(Request.from_dict(wanted))
        if image is None:
            return None
        record: dict[str, Any] = {"python": image.python, "image": image.id, "seconds": image.seconds}
        lock_hash = image.lock_hash
    elif user_managed:
        return {"python": wanted["interpreter"], "user_managed": True}
    else:
        prefix = store.find(wanted["key"])
        if prefix is None:
            return None
        record = {"python": prefix.python, "seconds": prefix.seconds}
        lock_hash = prefix.lock_hash
    record["user_managed"] = user_managed
    if lock_hash:
        record.update({"lock_hash": lock_hash, "lock": read_json(str(store.store().lock(lock_hash)))})
    return record
