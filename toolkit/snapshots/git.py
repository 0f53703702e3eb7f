"""What git knows about the sources of a run: where they come from, the commit, and what was changed since.

The questions are asked at once, by `begin`, in processes that run while the snapshot is taken:

    asked = git.begin(source_directory)
    ...
    record = asked.result()      # None outside of a repository; `asked.warning` says why where that is a surprise
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["DIFF_LIMIT", "TIMEOUT", "UNTRACKED_LIMIT", "Asked", "GitRecord", "begin", "without_credentials"]

DIFF_LIMIT = 10 * 2**20
"""The most bytes of a diff that are kept."""
UNTRACKED_LIMIT = 1000
"""The most names of untracked files that are kept."""
TIMEOUT = 5.0
"""Seconds after which a question that git has not answered is given up."""

# The answers must be about the repository around the sources, and complete, whatever the user has configured.
_COMMAND = (
    "git",
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", "diff.noprefix=false"),
    *("-c", "diff.mnemonicPrefix=false"),
    *("-c", "status.relativePaths=false"),
)
_QUESTIONS = {
    "commit": ("rev-parse", "HEAD", "--symbolic-full-name", "HEAD"),
    "uri": ("ls-remote", "--get-url"),  # asks the configuration only, not the network
    "status": ("status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal"),
    "diff": (
        *("diff", "HEAD", "--binary", "--no-ext-diff", "--no-textconv", "--no-color", "--no-relative"),
        *("--submodule=short", "--src-prefix=a/", "--dst-prefix=b/"),
    ),
}
# Set while git runs a hook, and then about another repository, perhaps.
_FOREIGN = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_PREFIX",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_NAMESPACE",
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
)
_SETTINGS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_ASKPASS": "",
    "SSH_ASKPASS": "",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class GitRecord:
    """The state of a repository; None stands for what is not there, or was not found out in time.

    `dirty` means that anything differs from the commit, untracked files included, as in Azure ML SDK v1. `diff` is
    what `git apply` takes, in bytes because files have any encoding; it is cut after a whole line where it was too
    long, and `diff_truncated` says so.
    """

    repository_uri: str | None
    branch: str | None
    commit: str | None
    dirty: bool | None
    diff: bytes = b""
    diff_truncated: bool = False
    untracked: tuple[str, ...] = ()
    untracked_count: int = 0

    def properties(self) -> dict[str, str]:
        """The properties of a run that Azure ML SDK v1 set."""
        values = {
            "repository_uri": self.repository_uri,
            "branch": self.branch,
            "commit": self.commit,
            "dirty": None if self.dirty is None else str(self.dirty),
        }
        return {f"azureml.git.{name}": value for name, value in values.items() if value is not None}


class _Question:
    """One git command, started and read by a thread of its own, for starting a process takes milliseconds.

    `status` is its exit status, and None where there is no whole answer: too late, too long, or not started.
    """

    def __init__(self, directory: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        self.answer = b""
        self.error = b""
        self.status: int | None = None
        self.truncated = False
        self.failure: OSError | None = None
        self._deadline = time.monotonic() + TIMEOUT
        self._thread = threading.Thread(target=self._run, args=(directory, arguments, environment), daemon=True)
        self._thread.start()

    def wait(self) -> None:
        # A killed process can outlive its deadline, where a network file system hangs: then it is left behind.
        self._thread.join(max(0.0, self._deadline + 0.5 - time.monotonic()))

    def _run(self, directory: str, arguments: tuple[str, ...], environment: dict[str, str]) -> None:
        try:
            process = subprocess.Popen(
                (*_COMMAND, *arguments),
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # no terminal to ask for a password on, and one group to kill
            )
        except OSError as error:
            self.failure = error
            return
        with process:
            whole = self._read(process)
            if not whole:
                with suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
        self.status = process.returncode if whole else None

    def _read(self, process: subprocess.Popen[bytes]) -> bool:
        """Read both pipes to their ends; False where the deadline or the limit came first."""
        assert process.stdout and process.stderr
        said: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
        answer, error = said.values()
        size = 0
        with selectors.DefaultSelector() as selector:
            for descriptor in said:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map() and size <= DIFF_LIMIT and time.monotonic() < self._deadline:
                for key, _ in selector.select(max(0.0, self._deadline - time.monotonic())):
                    chunk = os.read(key.fd, 1 << 16)
                    said[key.fd].append(chunk)
                    size += len(chunk)
                    if not chunk:
                        selector.unregister(key.fd)
            whole = not selector.get_map()
        self.answer, self.error = b"".join(answer), b"".join(error)
        self.truncated = size > DIFF_LIMIT
        return whole and not self.truncated


class Asked:
    """Questions that git is answering."""

    def __init__(self, directory: str) -> None:
        self.warning: str | None = None
        self._record: GitRecord | None = None
        self._questions: dict[str, _Question] = {}
        if _in_repository(directory):
            environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN} | _SETTINGS
            self._questions = {
                name: _Question(directory, arguments, environment) for name, arguments in _QUESTIONS.items()
            }

    def result(self) -> GitRecord | None:
        """The record, soon after `TIMEOUT` at the latest; None outside of a repository or without git."""
        questions, self._questions = self._questions, {}
        for question in questions.values():
            question.wait()
        if questions:
            self._record, self.warning = _conclude(questions)
        return self._record


def _conclude(questions: dict[str, _Question]) -> tuple[GitRecord | None, str | None]:
    """The record, and what to warn of."""
    head, status, diff = questions["commit"], questions["status"], questions["diff"]
    if isinstance(head.failure, FileNotFoundError):
        return None, None  # without git there is nothing to say, as in Azure ML SDK v1
    state = _read_status(status.answer) if status.status == 0 else _State()
    commit, branch = state.commit, state.branch
    if head.status == 0:
        commit, branch = _read_commit(head.answer)
    elif status.status != 0:
        return None, f"The run has no record of its sources' commit: git says {_reason(head)}."
    unanswered = {"git status": status, "git diff": diff} if commit else {"git status": status}
    warnings = [
        f"{name} of the sources is not recorded: {_reason(question)}."
        for name, question in unanswered.items()
        if question.status != 0 and not question.truncated
    ]
    uri = questions["uri"].answer.decode("utf-8", "replace").strip() if questions["uri"].status == 0 else ""
    kept = diff.answer if diff.status == 0 else b""
    if diff.truncated:
        kept = diff.answer[: diff.answer.rfind(b"\n", 0, DIFF_LIMIT) + 1]
        warnings.append(f"git diff of the sources is over {DIFF_LIMIT // 2**20} MB: its beginning is recorded.")
    record = GitRecord(
        # Without a remote git answers with the name that one would have.
        repository_uri=without_credentials(uri) if uri and uri != "origin" else None,
        branch=branch,
        commit=commit,
        dirty=True if kept or status.truncated else state.dirty,
        diff=kept,
        diff_truncated=diff.truncated,
        untracked=state.untracked[:UNTRACKED_LIMIT],
        untracked_count=len(state.untracked),
    )
    return record, " ".join(warnings) or None


def _reason(question: _Question) -> str:
    lines = question.error.decode("utf-8", "replace").strip().splitlines()
    if question.failure:
        return str(question.failure)
    if question.status is None:
        return f"no answer within {TIMEOUT:g} seconds"
    return lines[0] if lines else f"exit status {question.status}"


@dataclass(frozen=True)
class _State:
    commit: str | None = None
    branch: str | None = None
    dirty: bool | None = None
    untracked: tuple[str, ...] = ()


def begin(source_directory: str | os.PathLike[str]) -> Asked:
    """Ask git about the repository around `source_directory`; returns at once. Never raises."""
    return Asked(os.path.realpath(source_directory))


def _in_repository(directory: str) -> bool:
    """Whether a parent has a `.git`: most folders without one need no process to find that out."""
    while not os.path.lexists(os.path.join(directory, ".git")):
        parent = os.path.dirname(directory)
        if parent == directory:
            return False
        directory = parent
    return os.path.isdir(directory)


def _read_commit(answer: bytes) -> tuple[str, str | None]:
    """The commit, and the branch; None for the branch of a detached HEAD."""
    commit, _, reference = answer.decode("utf-8", "replace").strip().partition("\n")
    branch = reference.removeprefix("refs/heads/")
    return commit, branch if branch != reference else None


def _read_status(answer: bytes) -> _State:
    commit = branch = None
    untracked = []
    dirty = False
    for field in answer.decode("utf-8", "surrogateescape").split("\0"):
        if field.startswith("# branch.oid "):
            commit = field.removeprefix("# branch.oid ")
        elif field.startswith("# branch.head "):
            branch = field.removeprefix("# branch.head ")
        elif field and not field.startswith("# "):
            dirty = True
            if field.startswith("? "):
                untracked.append(field[2:].encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
    return _State(
        None if commit == "(initial)" else commit,
        None if branch == "(detached)" else branch,
        dirty,
        tuple(untracked),
    )


def without_credentials(uri: str) -> str:
    """The address of a repository without user and password; only the user of an ssh address stays.

    >>> without_credentials("https://me:token@example.com/team/code.git")
    'https://example.com/team/code.git'
    >>> without_credentials("git@example.com:team/code.git")
    'git@example.com:team/code.git'
    """
    address = re.fullmatch(r"((?:\w+::)?([\w+.-]+)://)([^/?#]*)([^?#]*)(.*)", uri, re.DOTALL)
    if not address:
        return uri
    start, scheme, authority, path, query = address.groups()
    web = scheme.lower() in ("http", "https")
    user, at, host = authority.rpartition("@")
    if not at and "@" in path and re.search(r":(?!\d*$)", authority):
        # A password with a slash in it, which no address may have; rather lose a part of the path than show it.
        host, path = path.rpartition("@")[2], ""
    if at and not web:
        host = user.partition(":")[0] + "@" + host
    return start + host + path + ("" if web else query)
