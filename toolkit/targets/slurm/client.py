"""Slurm by its command line: what is asked of it and what it says, as text that all its versions have.

Never `--json`: its schema changes with every version.
"""

from __future__ import annotations

import getpass
import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.errors import EngineUnreachable
from toolkit.targets.base import LaunchError

_ANSWER_SECONDS = 60.0
_BY_USER = 200  # more jobs than that are asked for as all of the user's: a command line has its limits
# What Slurm's commands need of our environment. No job sees the rest: the agent's is that of whoever came first.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SLURM_CONF", "TZ", "KRB5CCNAME")
_AWAY = re.compile(
    "unable to contact slurm controller|socket timed out|unable to establish a connection|connection refused|"
    "zero bytes were transmitted|temporarily un|communication connection failure|unexpected message|"
    "connect failure|slurm_receive_msg|slurm_persist_conn|controller is in standby",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class JobState:
    """What Slurm says of one job.

    Attributes:
        state: in its words, as in "PENDING"; "" where it knows of no such job.
        reason: as in "Resources".
        nodes: as in "node[1-2]".
    """

    state: str = ""
    reason: str = ""
    nodes: str = ""


class Client:
    """The commands of one cluster. Each takes some milliseconds, or long where the controller is busy or away.

    Args:
        config: its slurm.conf; "" for what the machine has.
    """

    def __init__(self, config: str = "") -> None:
        self._environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._environment.update({"USER": _user(), "LOGNAME": _user(), "SLURM_TIME_FORMAT": "standard"})
        if config:
            self._environment["SLURM_CONF"] = config
        self._has_accounting = True

    def run(self, *command: str, stdin: str = "") -> str:
        """What a command says on standard output.

        Raises:
            EngineUnreachable: the controller does not answer.
            LaunchError: the command failed, with its words.
        """
        try:
            result = subprocess.run(
                command, input=stdin, env=self._environment, cwd="/", capture_output=True, text=True,
                encoding="utf-8", errors="surrogateescape", timeout=_ANSWER_SECONDS,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise LaunchError(
                f"there is no {command[0]} on this machine: submit on a machine of the cluster, a login node say"
            ) from error
        except OSError as error:  # there is no memory left for a process, say
            raise EngineUnreachable(f"{command[0]} cannot be started: {error}") from error
        except subprocess.TimeoutExpired as error:
            raise EngineUnreachable(f"Slurm did not answer to {command[0]} for {_ANSWER_SECONDS:.0f} s") from error
        if result.returncode == 0:
            return result.stdout
        said = " ".join(result.stderr.replace(f"{command[0]}: error: ", "").split()) or f"code {result.returncode}"
        if _AWAY.search(said):
            raise EngineUnreachable(f"Slurm's controller does not answer ({command[0]}: {said})")
        raise LaunchError(f"{command[0]}: {said}")

    def submit(self, options: Iterable[str], script: str) -> str:
        """Hand over a batch script; gives the job's id."""
        return self.run("sbatch", "--parsable", *options, stdin=script).strip().partition(";")[0]

    def states(self, ids: Iterable[str]) -> dict[str, JobState]:
        """What Slurm says of these jobs, and array tasks one by one: of its queue, of its memory, then of its accounts.

        One that it knows nothing of, as it forgets most jobs some minutes after they have ended, has an empty state.
        """
        wanted = {*ids}
        known = {name: state for name, state in self._queue(wanted).items() if name in wanted}
        missing = wanted - known.keys()
        if missing and self._has_accounting:
            known.update({name: state for name, state in self._accounts(missing).items() if name in missing})
        return {name: known.get(name, JobState()) for name in wanted}

    def _queue(self, ids: set[str]) -> dict[str, JobState]:
        jobs = sorted({name.partition("_")[0] for name in ids}, key=int)
        whose = [f"--jobs={','.join(jobs)}"] if len(jobs) <= _BY_USER else [f"--user={_user()}"]
        asked = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N", *whose]
        try:
            return parse_states(self.run(*asked))
        except LaunchError as error:
            if "invalid job id" in str(error).lower():  # it knows of none of them
                return {}
            raise EngineUnreachable(str(error)) from error

    def _accounts(self, ids: set[str]) -> dict[str, JobState]:
        asked = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,Reason,NodeList"]
        try:
            said = self.run(*asked, f"--jobs={','.join(sorted(ids))}")
        except EngineUnreachable:
            return {}
        except LaunchError:  # as on clusters without slurmdbd, where it only says so
            self._has_accounting = False
            return {}
        return parse_states(said)

    def ours(self, comment: str) -> dict[str, str]:
        """The jobs in the queue that have this comment: their ids, and the batch script of each."""
        asked = ["squeue", "--noheader", f"--user={_user()}", "--format=%F|%k"]
        lines = {line.strip() for line in self.run(*asked).splitlines()}
        ids = sorted(line.partition("|")[0] for line in lines if line.partition("|")[2] == comment)
        return {job: self.run("scontrol", "write", "batch_script", job, "-") for job in ids}

    def stop(self, job: str) -> None:
        """Take the job out of the queue, or have its launcher end the script and record that."""
        self._scancel("--state=PENDING", job)
        self._scancel("--batch", "--signal=TERM", job)

    def kill(self, job: str) -> None:
        """End the job and all its processes at once."""
        self._scancel("--full", "--signal=KILL", job)
        self._scancel(job)

    def _scancel(self, *arguments: str) -> None:
        try:
            self.run("scancel", "--quiet", *arguments)
        except LaunchError:
            pass  # it is over: the next look tells


def parse_states(text: str) -> dict[str, JobState]:
    """States by job from lines of ID|STATE|REASON|NODES. A state such as "CANCELLED by 1000" or "RUNNING+" is cut."""
    found = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) >= 4 and fields[1]:
            found[fields[0]] = JobState(fields[1].split()[0].rstrip("+"), fields[2], fields[-1])
    return found


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return str(os.getuid())
