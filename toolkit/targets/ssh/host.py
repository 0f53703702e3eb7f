"""A host as the agent knows it: one connection, kept up by a thread of its own, and the runs that it has there."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake
from toolkit.paths import WorkspacePaths
from toolkit.targets.ssh import facts as host_facts
from toolkit.targets.ssh.connection import Address, Connection
from toolkit.targets.ssh.errors import HostRefused, HostUnreachable
from toolkit.targets.ssh.facts import Facts
from toolkit.targets.ssh.mirrored import MirroredRun

if TYPE_CHECKING:
    from toolkit.targets.ssh.launching import Launching

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0  # between two attempts to connect
ANSWER_SECONDS = 120.0
PING_SECONDS = 15.0


@dataclass
class _Question:
    """Something that the host was asked, and its answer."""

    answered: threading.Event = field(default_factory=threading.Event)
    value: Any = None
    error: Exception | None = None


class Host:
    """Connects when there is something to ask, and again whenever the connection is cut.

    Attributes:
        facts: what the host said of itself, now or the last time; None before.
        launching: the runs that are just being brought there, by their root here.
        keep: whose folders stay there, as the setting has it.
        trouble: why it could not be reached just now; None while it can, or before it was tried.
    """

    def __init__(self, address: Address, paths: WorkspacePaths, on_connect: Callable[[], None]) -> None:
        self.address = address
        self.facts: Facts | None = host_facts.read(address, paths)
        self.trouble: HostUnreachable | HostRefused | None = None
        self.launching: dict[str, Launching] = {}
        self.keep = "failed"
        self._paths = paths
        self._on_connect = on_connect
        self._connection: Connection | None = None
        self._questions: dict[int, _Question] = {}
        self._numbers = itertools.count(1)
        self._changing = threading.Condition()
        self._tries = 0  # attempts to connect that have ended
        self._keeper: threading.Thread | None = None
        self._hurry = threading.Event()
        self._runs: dict[str, MirroredRun] = {}  # by their root on the host

    # -- asking -------------------------------------------------------------------------------------------------------

    def connection(self) -> Connection:
        """The connection, made where there is none.

        Raises:
            HostUnreachable, HostRefused: it cannot be made.
        """
        with self._changing:
            tried = self._tries
            self._start_keeper()
            self._hurry.set()
            while self._connection is None:
                self._start_keeper()
                if self._tries > tried and self.trouble is not None:
                    raise self.trouble
                self._changing.wait(1.0)
            return self._connection

    def connect_soon(self) -> None:
        """Have the connection made, beside everything else."""
        with self._changing:
            self._start_keeper()

    def ask(self, operation: str, **fields: Any) -> Any:
        """Ask the host, and wait for its answer.

        Raises:
            HostUnreachable: the connection cannot be made, or was cut before the answer came.
            HostRefused: it cannot be made, or the answer is an error.
        """
        connection = self.connection()
        number, question = next(self._numbers), _Question()
        self._questions[number] = question
        try:
            connection.send({"id": number, "do": operation, **fields})
            if self._connection is not connection:  # it was cut while we sent: nobody will answer
                raise HostUnreachable(f"the connection to '{self.address.host}' was cut")
            if not question.answered.wait(ANSWER_SECONDS):
                raise HostUnreachable(
                    f"'{self.address.host}' has not answered '{operation}' for {ANSWER_SECONDS:.0f} s"
                )
        finally:
            self._questions.pop(number, None)
        if question.error is not None:
            raise question.error
        return question.value

    def tell(self, operation: str, **fields: Any) -> bool:
        """Tell the host, where there is a connection, and wait for nothing. Whether there is one."""
        connection = self._connection
        if connection is None:
            return False
        try:
            connection.send({"do": operation, **fields})
        except HostUnreachable:
            return False
        return True

    def wake(self) -> None:
        """There is news for the agent."""
        wake(str(self._paths.wake))

    # -- runs ---------------------------------------------------------------------------------------------------------

    def mirror(self, root: str, here: RunDirectory) -> MirroredRun:
        """Take what the host says of the run in its folder `root`, from now on."""
        self._runs[root] = mirrored = MirroredRun(root, here, self)
        return mirrored

    def mirrored(self, root: str) -> MirroredRun | None:
        """What is known of a run that is mirrored."""
        return self._runs.get(root)

    def forget(self, root: str) -> None:
        self._runs.pop(root, None)

    # -- the connection -----------------------------------------------------------------------------------------------

    def _start_keeper(self) -> None:
        if self._keeper is None or not self._keeper.is_alive():
            self._keeper = threading.Thread(target=self._keep, name=f"ssh {self.address.host}", daemon=True)
            self._keeper.start()

    def _keep(self) -> None:
        pause = FIRST_PAUSE
        while True:
            self._hurry.clear()
            connection = self._try()
            if connection is not None:
                pause = FIRST_PAUSE
                self._read(connection)
                self._lose(connection)
                if any(run.is_watched for run in [*self._runs.values()]):
                    self._hurry.wait(FIRST_PAUSE)
                    continue
                return  # nobody needs it: it is made again when somebody does
            watched = any(run.is_watched for run in [*self._runs.values()])
            if isinstance(self.trouble, HostRefused) and not watched and not self.launching:
                return  # nobody needs it, and a host may shut out who knocks for ever
            self._hurry.wait(pause)
            time.sleep(0.2)  # however much of a hurry there is
            pause = min(pause * 2, LONGEST_PAUSE)

    def _try(self) -> Connection | None:
        connection = None
        trouble: HostUnreachable | HostRefused | None = None
        try:
            connection = Connection(self.address, host_facts.workspace_key(self._paths))
            self.facts = Facts.of(connection.hello)
            host_facts.keep(self.facts, self.address, self._paths)
        except (HostUnreachable, HostRefused) as error:
            trouble = error
        except Exception as error:  # an answer that is none; a full disk here
            if connection is not None:
                connection.close()
            connection = None
            trouble = HostUnreachable(f"the connection to '{self.address.host}' cannot be used: {error!r}")
        with self._changing:
            self._connection, self.trouble = connection, trouble
            self._tries += 1
            self._changing.notify_all()
        if connection is not None:
            for run in [*self._runs.values()]:
                try:
                    run.watch_again()
                except OSError as error:  # its folder here is gone, say: the other runs go on
                    print(f"run {run.here.id}: {error}", flush=True)
            threading.Thread(target=self._ping, args=(connection,), daemon=True).start()
            self._on_connect()
        self.wake()
        return connection

    def _ping(self, connection: Connection) -> None:
        while self._connection is connection:
            self.tell("ping")
            time.sleep(PING_SECONDS)

    def _read(self, connection: Connection) -> None:
        """Take what the host says, until the connection ends."""
        try:
            for message in connection.messages():
                if "run" in message:
                    run = self._runs.get(str(message["run"]))
                    news = run.take(message) if run is not None else b""
                    if news:
                        wake(str(self._paths.wake), news)
                elif message.get("id") is not None:
                    self._answer(message)
        except Exception as error:  # damaged, cut in the middle of a line: asking anew mends it
            print(f"{self.address.host}: {error!r}", flush=True)

    def _answer(self, message: dict[str, Any]) -> None:
        question = self._questions.get(int(message["id"]))
        if question is None:
            return
        if "error" in message:
            question.error = self.refusal(str(message["error"]))
        else:
            question.value = message["value"]
        question.answered.set()

    def refusal(self, words: str) -> HostRefused:
        """What the host said could not be done, as an error."""
        advice = ""
        if "No space left" in words or "quota exceeded" in words.lower():
            folder = self.facts.folder if self.facts else "the toolkit's folder"
            advice = f". Free some space below {folder} there, or name another `folder` for the compute target"
        return HostRefused(f"'{self.address.host}' could not take the run: {words}{advice}")

    def _lose(self, connection: Connection) -> None:
        with self._changing:
            self._connection = None
            lost = HostUnreachable(f"the connection to '{self.address.host}' was cut")
            for question in [*self._questions.values()]:
                question.error = lost
                question.answered.set()
        connection.close()


_hosts: dict[tuple[Address, str], Host] = {}  # shared by the targets of a process, however often those are made anew


def host_of(address: Address, paths: WorkspacePaths) -> Host:
    """The host of an address, as this workspace knows it."""
    from toolkit.targets.ssh.leftovers import sweep

    key = (address, str(paths.root))
    if key not in _hosts:
        _hosts[key] = host = Host(address, paths, lambda: sweep(host, paths))
    return _hosts[key]
