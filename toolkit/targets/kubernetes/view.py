"""What a cluster has of our objects, kept current by a list and a watch: asking it costs nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from toolkit.errors import ToolkitError
from toolkit.targets.kubernetes.api import Api, Object, Refused

_WATCH_SECONDS = 60  # then a new one begins where it ended; a dead connection is noticed soon
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 15.0
_EXPIRED = 410


class View:
    """The objects of one resource with a label, by name.

    Args:
        changed: called from a thread of the view with each object that is new or has changed.
    """

    def __init__(self, api: Callable[[], Api], resource: str, selector: str, changed: Callable[[Object], None]) -> None:
        self._api = api
        self._resource = resource
        self._selector = selector
        self._changed = changed
        self._items: dict[str, Object] = {}
        self._owned: dict[str, dict[str, Object]] = {}  # by their owner's name and their own
        self._lock = threading.Lock()
        self.error = ""  # why it is not current
        self.is_current = False  # it has been once
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to follow, where it is not followed yet."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name=f"watch-{self._resource}", daemon=True)
            self._thread.start()

    def get(self, name: str) -> Object | None:
        return self._items.get(name)

    def of_owner(self, name: str) -> list[Object]:
        """The objects whose first owner has this name."""
        with self._lock:
            return list(self._owned.get(name, {}).values())

    def add(self, item: Object) -> None:
        """Take up an object that was created just now, before the cluster tells of it."""
        with self._lock:
            if item["metadata"]["name"] not in self._items:
                self._put(item)

    def _put(self, item: Object) -> None:
        name = item["metadata"]["name"]
        self._items[name] = item
        self._owned.setdefault(_owner(item), {})[name] = item

    def _drop(self, item: Object) -> None:
        name, owner = item["metadata"]["name"], _owner(item)
        self._items.pop(name, None)
        owned = self._owned.get(owner, {})
        owned.pop(name, None)
        if not owned:
            self._owned.pop(owner, None)

    def _follow(self) -> None:
        pause, version = _FIRST_PAUSE, ""
        while True:
            try:
                if not version:
                    version = self._list()
                version = self._watch(version)
                self.error, pause = "", _FIRST_PAUSE
            except Refused as error:
                version = ""
                if error.code != _EXPIRED:
                    self.error = str(error)
                    time.sleep(pause)
                    pause = min(pause * 2, _LONGEST_PAUSE)
            except Exception as error:  # of the network, or of the library that signs in
                self.error = str(error) if isinstance(error, ToolkitError) else f"{type(error).__name__}: {error}"
                version = ""
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _list(self) -> str:
        listed = self._api().list(self._resource, self._selector)
        with self._lock:
            self._items, self._owned = {}, {}
            for item in listed["items"]:
                self._put(item)
            self.is_current = True
        self.error = ""
        for item in listed["items"]:
            self._changed(item)
        return str(listed["metadata"]["resourceVersion"])

    def _watch(self, version: str) -> str:
        """Follow what happens; gives the version up to which it is known."""
        for event in self._api().watch(self._resource, self._selector, version, _WATCH_SECONDS):
            item = event["object"]
            if event["type"] == "ERROR":
                raise Refused(int(item.get("code") or _EXPIRED), str(item.get("message")))
            version = str(item["metadata"]["resourceVersion"])
            if event["type"] == "BOOKMARK":
                continue
            with self._lock:
                (self._drop if event["type"] == "DELETED" else self._put)(item)
            self._changed(item)
        return version


def _owner(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("name") or "")
