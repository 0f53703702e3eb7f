"""The launcher: starts a run's script where the run's target is, and records truly how it ended.

`main(RUN_DIRECTORY)` (`toolkit.targets.mount` has the command) reads the plan in the run directory, makes the working
copy, starts the script in a session of its own with its output straight into the driver log, beats while it runs, and
writes the exit record. It needs nothing but the standard library and its own folder. The exit record says one of:

    exited         the script ended by itself; `code` is its exit code
    signal         something outside ended it; `signal` is the name
    out_of_memory  the kernel ended it for memory
    timed_out      it ran longer than `max_seconds`
    stopped        the launcher was asked to stop (SIGTERM): a cancel, or a machine that goes down
    not_started    it could not be started; `message` says why
"""

import errno
import fcntl
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any, Dict, Optional

from toolkit.inscript import attempts, processes
from toolkit.inscript.files import claim_json, read_json, write_json
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.wake import wake

ENGINE_ID = "TOOLKIT_ENGINE_ID"  # the name that the launcher's engine has for it, where that is not its pid
HEARTBEAT_SECONDS = 5.0
LEFTOVER_GRACE_SECONDS = 2.0  # for processes that the script left behind when it ended
RESERVE_BYTES = 64 * 1024  # given back when the disk is full, so that the exit record always finds room


def main(run_directory: str) -> int:
    run = RunDirectory(os.path.abspath(run_directory))
    lock = _hold(run)
    if lock is None or not claim_json(run.started, _myself()):
        return 0  # another launcher has this run, or had it: a script is never started twice
    plan: Dict[str, Any] = read_json(run.plan)
    if os.path.exists(run.cancel):  # while it was on its way through the queue of an engine
        record: Dict[str, Any] = {"reason": "stopped", "code": None, "signal": None, "time": time.time()}
    else:
        record = Launcher(run, plan).run_script()
    _record_exit(run, record)
    wake(str(plan.get("wake") or ""))
    os.close(lock)
    return 0


def _hold(run: RunDirectory) -> Optional[int]:
    """Take the lock that says this launcher lives; the kernel lets go of it however the launcher ends.

    Tried for a moment, since somebody may be looking whether it is held.
    """
    descriptor = os.open(run.launcher_lock, os.O_RDWR | os.O_CREAT, 0o600)
    for _ in range(50):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except OSError:
            if os.path.exists(run.started):
                break
            time.sleep(0.01)
    os.close(descriptor)
    return None


def _myself() -> Dict[str, Any]:
    myself = {"pid": os.getpid(), "host": os.uname().nodename, "time": time.time()}
    if os.environ.get(ENGINE_ID):
        myself["engine_id"] = os.environ[ENGINE_ID]
    return myself


def _record_exit(run: RunDirectory, record: Dict[str, Any]) -> None:
    reserve = run.exit + ".reserve"
    try:
        write_json(run.exit, record)
        os.unlink(reserve)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.ENOENT):
            raise
        if os.path.exists(reserve):
            os.unlink(reserve)
        if not os.path.exists(run.exit):
            write_json(run.exit, record)


class Launcher:
    """Supervises the one script of one run."""

    def __init__(self, run: RunDirectory, plan: Dict[str, Any]) -> None:
        self.run = run
        self.plan = plan
        self.grace = float(plan.get("grace_seconds") or 10.0)
        self.stop_requested = False
        self.ended_by_us = ""
        self._started = 0.0  # when the script was
        self._news, self._news_writer = os.pipe()
        for descriptor in (self._news, self._news_writer):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._news_writer)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)

    def _stop(self, number: int, frame: object) -> None:
        self.stop_requested = True

    def say(self, message: str) -> None:
        """One line into the control log (standard output of the launcher)."""
        try:
            sys.stdout.write("%s %s\n" % (time.strftime("%Y-%m-%d %H:%M:%S"), message))
            sys.stdout.flush()
        except OSError:
            pass

    def run_script(self) -> Dict[str, Any]:
        began = time.time()
        try:
            self._prepare()
            child = self._start()
        except Exception as error:
            self.say("not started: %s" % error)
            message = _explain(error, self.plan)
            return {"reason": "not_started", "message": message, "code": None, "time": time.time()}
        finally:
            if os.path.exists(self.run.environ) and not self.plan.get("keep_environ"):
                os.unlink(self.run.environ)  # it may hold secrets, and is needed no more
        self.say("started %s as process %d" % (" ".join(map(str, self.plan["command"])), child.pid))
        kills_before = memory_kills()
        started = time.time()
        code = self._supervise(child, started)
        disk = os.statvfs(self.run.root)
        disk_full = code != 0 and disk.f_bavail * disk.f_frsize < RESERVE_BYTES
        self._end_leftovers(child)
        self._tidy()
        record = _judge(code, self.ended_by_us, memory_kills() > kills_before)
        record.update({"time": time.time(), "seconds": time.time() - started, "preparing_seconds": started - began})
        if disk_full:
            record["disk_full"] = True
        self.say("ended: %s" % {key: record[key] for key in ("reason", "code", "signal")})
        return record

    def _prepare(self) -> None:
        with open(self.run.exit + ".reserve", "wb") as file:
            file.write(b"\0" * RESERVE_BYTES)
        with open(self.run.heartbeat, "wb"):
            pass
        snapshot = self.plan.get("snapshot")
        if snapshot:
            from toolkit.inscript import spares, workcopy

            taken = spares.take(self.plan.get("spares"), snapshot["id"], self.run.work)
            workcopy.materialise(snapshot["store"], snapshot["id"], self.run.work, keep=taken)
        for folder in (self.run.outputs, self.run.script_logs, self.run.checkpoints):
            os.makedirs(folder, exist_ok=True)
        if self.plan.get("data"):
            from toolkit.data.provide import provide

            provide(self.plan["data"])

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = self._environment()
        command = [expand(str(part), environment) for part in self.plan["command"]]
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._started = time.time()
        log = os.open(self.run.driver_log, flags, 0o600)
        try:
            child = subprocess.Popen(
                command,
                cwd=self.run.work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a process group of its own: signals reach all of it and nothing else
            )
        finally:
            os.close(log)
        write_json(self.run.script, {"pid": child.pid, "time": time.time()})
        return child

    def _environment(self) -> Dict[str, str]:
        environment: Dict[str, str] = {}
        environment.update(read_json(self.run.environ, dict(os.environ)))
        environment.update(self.plan["environment"])
        for name, folders in self.plan["path_prefixes"].items():
            before = environment.get(name)
            environment[name] = os.pathsep.join(folders + ([before] if before else []))
        environment[RUN_DIRECTORY] = self.run.root
        environment[attempts.ATTEMPT] = str(attempts.count(self.run) + 1)
        return environment

    def _supervise(self, child: "subprocess.Popen[bytes]", started: float) -> int:
        """Wait for the script, beating; end its whole tree when it is asked for or its time is over."""
        limit = float(self.plan.get("max_seconds") or 0)
        deadline = started + limit if limit else float("inf")
        while True:
            code = child.poll()
            if code is not None:
                if self.stop_requested:  # an engine may send its TERM to all processes at once
                    self.ended_by_us = "stopped"
                return code
            now = time.time()
            if self.stop_requested or now >= deadline:
                self.ended_by_us = "stopped" if self.stop_requested else "timed_out"
                self.say("%s: ending the script and its processes" % self.ended_by_us)
                processes.end_tree(self.run.root, child.pid, self.grace, child.poll)
                return child.wait()
            os.utime(self.run.heartbeat, None)
            self._sleep(min(HEARTBEAT_SECONDS, deadline - now))

    def _sleep(self, seconds: float) -> None:
        """Until a signal arrives (a child that ended, a request to stop), at most `seconds`."""
        select.select([self._news], [], [], max(0.0, seconds))
        try:
            while os.read(self._news, 512):
                pass
        except OSError:
            pass

    def _end_leftovers(self, child: "subprocess.Popen[bytes]") -> None:
        left = processes.of_run(self.run.root, child.pid)
        if left:
            self.say("the script ended and left %d processes behind: ending them" % len(left))
            processes.end_tree(self.run.root, child.pid, LEFTOVER_GRACE_SECONDS)

    def _tidy(self) -> None:
        """Keep of the working copy what the script made or changed: the rest is in the snapshot or an input."""
        if self.plan.get("data"):
            from toolkit.data.provide import clean

            clean(self.plan["data"])
        snapshot = self.plan.get("snapshot")
        if snapshot:
            from toolkit.inscript import spares, workcopy

            try:
                if self.plan.get("spares"):
                    spares.keep(self.plan["spares"], snapshot["store"], snapshot["id"], self.run.work, self._started)
                workcopy.leave_only_new(snapshot["store"], snapshot["id"], self.run.work)
            except OSError as error:
                self.say("could not tidy the working copy: %s" % error)


def expand(part: str, environment: Dict[str, str]) -> str:
    """`part` with $NAME and ${NAME} replaced, as Azure ML expanded arguments in the job; unknown names stay."""
    if "$" not in part:
        return part
    import re

    return re.sub(r"\$(\w+|\{\w+\})", lambda match: environment.get(match.group(1).strip("{}"), match.group(0)), part)


def _judge(code: int, ended_by_us: str, memory_kill: bool) -> Dict[str, Any]:
    record: Dict[str, Any] = {"code": code if code >= 0 else None, "signal": None, "reason": "exited"}
    if code < 0:
        try:
            record["signal"] = signal.Signals(-code).name
        except ValueError:
            record["signal"] = "signal %d" % -code
        record["reason"] = "signal"
    if ended_by_us:
        record["reason"] = ended_by_us
    elif memory_kill and code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        record["reason"] = "out_of_memory"
    elif memory_kill and code != 0:
        record["memory_kill"] = True  # a process of the script may have been the one
    return record


def memory_kills() -> int:
    """How many processes the kernel has ended for memory since it started; 0 where it does not say."""
    try:
        with open("/proc/vmstat") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    except OSError:
        pass
    return 0


def _explain(error: BaseException, plan: Dict[str, Any]) -> str:
    command = plan.get("command") or ["?"]
    if isinstance(error, OSError):
        program = str(command[0])
        if error.errno == errno.ENOENT and error.filename in (program, program.encode()):
            return "the command '%s' was not found in the run's environment" % program
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return (
                "the disk is full: the working copy of the sources could not be made; free some space and submit again"
            )
    return "%s: %s" % (type(error).__name__, error)
