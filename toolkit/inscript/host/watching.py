"""Telling the other side what is new of the runs that it watches: frames of `toolkit.inscript.changes`.

{"run": ROOT, "attempt": 1, "frame": {…}}       a frame
{"run": ROOT, "attempt": 1, "fetch": [NAME, …]} files that are too large for frames, to be fetched before what follows
{"run": ROOT, "attempt": 1, "gone": "why"}      its launcher is gone and left no exit record; all else was told
"""

import os
import select
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional, Set

from toolkit.inscript import attempts
from toolkit.inscript.changes import RELATIVES, Changes, Frame
from toolkit.inscript.files import is_locked, read_json
from toolkit.inscript.host import runs
from toolkit.inscript.host.layout import Layout
from toolkit.inscript.rundir import RunDirectory

FIRST_PAUSE, LONGEST_PAUSE = 0.02, 0.25  # seconds between two looks at a run: longer while nothing happens
ALL_SECONDS = 5.0  # between two looks at everything that a script puts out
LIVES_SECONDS = 0.5  # between two looks whether the launcher lives
LARGE_BYTES = 4 << 20


class HostChanges(Changes):
    """Changes of a run whose large files are fetched apart, when it has ended, and whose requests are told.

    A request comes behind the files that it names: {"fetch": [NAME, …]} stands before it.
    """

    def __init__(self, run: RunDirectory, sizes: Dict[str, int], also: List[str]) -> None:
        super().__init__(run, sizes)
        self._also = also
        self._asked: Set[str] = set()  # the requests that were told
        self.large: Set[str] = set()

    def look(self) -> Iterator[Frame]:
        yield from super().look()
        folder = os.path.join(self.run.root, "requests")
        try:
            names = sorted(os.listdir(folder))
        except OSError:
            return
        for name in names:
            if name.endswith(".json") and not name.endswith(".reply.json") and name not in self._asked:
                self._asked.add(name)
                path = os.path.join("requests", name)
                named = [path[: -len(".json")] + ".files"] + self._paths_in(path)
                files = [file for one in named for file in self._files_of(one)]
                if files:
                    yield {"fetch": files}
                    self._told.update(files)
                yield from super()._whole(path)

    def _paths_in(self, request: str) -> List[str]:
        """The files and folders of the run that a request names, by their paths below the run directory."""
        fields = read_json(os.path.join(self.run.root, request), {}).get("fields") or {}
        below = self.run.root + os.sep
        named = [value for value in fields.values() if isinstance(value, str) and value.startswith(below)]
        return [os.path.relpath(value, self.run.root) for value in named]

    def _files_of(self, name: str) -> List[str]:
        """A file, or the files of a folder, by their paths below the run directory."""
        path = os.path.join(self.run.root, name)
        if os.path.isfile(path):
            return [name]
        found = [os.path.join(parent, file) for parent, _, files in os.walk(path) for file in files]
        return sorted(os.path.relpath(file, self.run.root) for file in found)

    def _whole(self, name: str) -> Iterator[Frame]:
        try:
            size = os.stat(os.path.join(self.run.root, name)).st_size
            if size > LARGE_BYTES and not name.startswith(RELATIVES):  # what goes into another run goes by frames
                self.large.add(name)
                return
        except OSError:
            return
        yield from super()._whole(name)

    def finish(self) -> Iterator[Frame]:
        """Everything that is left, but the exit record; what `also` names is to be fetched."""
        for name in self._also:
            self.large.update(self._files_of(name))
        yield from self.look_at_all(last=True)

    def exit_record(self) -> Iterator[Frame]:
        yield from super()._whole("exit.json")


class Watch:
    """One run that is watched."""

    def __init__(self, asked: Dict[str, Any]) -> None:
        self.run = RunDirectory(asked["root"])
        self.attempt = attempts.count(self.run) + 1
        self.changes = HostChanges(self.run, asked.get("sizes") or {}, asked.get("also") or [])
        self.pause = FIRST_PAUSE
        self.trouble = ""
        self.next_look = 0.0
        self.next_look_at_all = time.time() + ALL_SECONDS
        self.next_look_at_life = 0.0


class Watcher:
    """Looks at the runs again and again, in a thread of its own."""

    def __init__(self, layout: Layout, say: Callable[[Dict[str, Any]], None]) -> None:
        self._say = say
        self._watches: Dict[str, Watch] = {}
        self._changing = threading.Lock()
        self._news, self._news_writer = os.pipe()
        os.makedirs(layout.workspace, 0o700, exist_ok=True)
        try:
            os.mkfifo(layout.wake, 0o600)
        except OSError:
            pass  # it is there
        self._wake = os.open(layout.wake, os.O_RDWR | os.O_NONBLOCK)

    def watch(self, asked: Dict[str, Any]) -> None:
        """Watch a run from now on.

        Args:
            asked: its `root`; `sizes`, how much of its growing files the other side has; `also`, paths below it that
                are fetched at its end beside the usual ones.
        """
        with self._changing:
            self._watches[asked["root"]] = Watch(asked)
        os.write(self._news_writer, b"\n")

    def forget(self, root: str) -> None:
        with self._changing:
            self._watches.pop(root, None)

    def look_soon(self, root: str) -> None:
        """Something happened to a run."""
        with self._changing:
            if root in self._watches:
                self._watches[root].next_look = self._watches[root].next_look_at_life = 0.0
        os.write(self._news_writer, b"\n")

    def run(self) -> None:
        """For ever."""
        while True:
            began = time.time()
            with self._changing:
                watches = list(self._watches.values())
            for watch in watches:
                if watch.next_look <= began:
                    self._look(watch)
            now = time.time()
            soonest = min([watch.next_look for watch in watches] or [now + 60.0])
            # Many runs together cost at most a fifth of the time.
            self._sleep(max(soonest - now, 4 * (now - began) if watches else 0.0), watches)

    def _sleep(self, seconds: float, watches: List[Watch]) -> None:
        readable, _, _ = select.select([self._news, self._wake], [], [], max(0.0, seconds))
        for descriptor in readable:
            try:
                os.read(descriptor, 4096)
            except OSError:
                pass
        if self._wake in readable:
            for watch in watches:
                watch.next_look = 0.0

    def _look(self, watch: Watch) -> None:
        news = False
        try:
            ended = self._has_ended(watch)
            if ended is not None:
                self._finish(watch, ended)
                return
            all_of_it = time.time() >= watch.next_look_at_all
            for frame in watch.changes.look_at_all() if all_of_it else watch.changes.look():
                news = self._tell(watch, frame if "fetch" in frame else {"frame": frame}) or news
            if all_of_it:
                watch.next_look_at_all = time.time() + ALL_SECONDS
        except Exception as error:  # tried again, and the other runs go on
            if repr(error) != watch.trouble:
                watch.trouble = repr(error)
                sys.stderr.write("%s: %s\n" % (watch.run.root, watch.trouble))
        watch.pause = FIRST_PAUSE if news else min(watch.pause * 1.2, LONGEST_PAUSE)
        watch.next_look = time.time() + watch.pause

    def _has_ended(self, watch: Watch) -> Optional[str]:
        """Why a run is gone, "" where it has left its exit record, None where it goes on."""
        run = watch.run
        if os.path.exists(run.exit):
            return ""
        if time.time() < watch.next_look_at_life:
            return None
        watch.next_look_at_life = time.time() + LIVES_SECONDS
        if is_locked(run.launcher_lock):
            return None
        if os.path.exists(run.exit):
            return ""
        if not os.path.isdir(run.root):
            return "its folder on the host is gone"
        if runs.was_restarted(run):
            return "restarted"
        return "its launcher on the host is gone"

    def _finish(self, watch: Watch, gone: str) -> None:
        for frame in watch.changes.finish():
            self._tell(watch, frame if "fetch" in frame else {"frame": frame})
        large = [name for name in sorted(watch.changes.large) if os.path.exists(os.path.join(watch.run.root, name))]
        if large:
            self._tell(watch, {"fetch": large})
        if gone:
            self._tell(watch, {"gone": gone})
        else:
            for frame in watch.changes.exit_record():
                self._tell(watch, {"frame": frame})
        with self._changing:
            if self._watches.get(watch.run.root) is watch:
                del self._watches[watch.run.root]

    def _tell(self, watch: Watch, news: Dict[str, Any]) -> bool:
        """Tell it; whether it is news of a script, and not its launcher's beat."""
        self._say(dict(news, run=watch.run.root, attempt=watch.attempt))
        return "beat" not in news.get("frame", {})
