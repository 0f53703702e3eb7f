"""One cluster as this process knows it: its API, what it has of a workspace's runs, their logs, and what is on its way.

There is one for all compute targets of the workspace that lie in the same namespace, and it outlives them: targets are
made anew whenever the configuration changes, and runs go on.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from toolkit import status
from toolkit.errors import ToolkitError
from toolkit.inscript import attempts
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake
from toolkit.paths import WorkspacePaths
from toolkit.targets.base import Plan
from toolkit.targets.kubernetes import nodes, words
from toolkit.targets.kubernetes.api import Api, Object, Refused, Where
from toolkit.targets.kubernetes.launching import Launching
from toolkit.targets.kubernetes.manifest import ATTEMPT_ANNOTATION, CONTAINER, RUN_ANNOTATION, WORKSPACE_LABEL
from toolkit.targets.kubernetes.view import View
from toolkit.targets.streaming import Followers

_ABSENT_SECONDS = 4.0  # what is not there for so long has gone: a list may be older than what was created
_END_ATTEMPTS, _END_SECONDS = 20, 3.0


class Cluster:
    """A cluster, in one namespace, for one workspace. Nothing is asked of it before `watch`."""

    def __init__(self, where: Where, paths: WorkspacePaths) -> None:
        self.where = where
        self._paths = paths
        self._pipe = str(paths.wake)
        self._lock = threading.Lock()
        self._connected: Api | None = None
        self._absent: dict[str, float] = {}
        self._ended: set[str] = set()  # the uids of Jobs that this process has had deleted
        selector = f"{WORKSPACE_LABEL}={workspace_label(paths)}"
        self.jobs = View(self.api, "jobs", selector, self._job_changed)
        self.pods = View(self.api, "pods", selector, lambda _: wake(self._pipe))
        self.followers = Followers(self._open_log, self._pipe, mirror_of=nodes.mirror)
        self.launching = Launching(self.api, self.jobs.add)
        self._ending = ThreadPoolExecutor(max_workers=2, thread_name_prefix="kubernetes-end")

    def api(self) -> Api:
        """The API; connecting takes half a second, so it is for threads."""
        with self._lock:
            if self._connected is None:
                self._connected = Api(self.where)
            return self._connected

    def watch(self) -> None:
        """Have it watched from now on."""
        self.jobs.start()
        self.pods.start()

    # -- what there is ------------------------------------------------------------------------------------------------

    def pod(self, name: str, index: int = 0) -> Object | None:
        """The pod of a Job, or of one of its nodes; of several the newest."""
        found = [pod for pod in self.pods.of_owner(name) if words.index_of(pod) == index]
        return max(found, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""), default=None)

    def is_current(self) -> bool:
        """Whether it is known what there is."""
        return self.jobs.is_current and self.pods.is_current and not self.error

    @property
    def error(self) -> str:
        return self.jobs.error or self.pods.error

    def is_gone(self, name: str) -> bool:
        """Whether there is neither a Job of this name nor a pod of it, and that for a while."""
        if self.jobs.get(name) is not None or self.pods.of_owner(name) or not self.is_current():
            self._absent.pop(name, None)
            return False
        return time.monotonic() - self._absent.setdefault(name, time.monotonic()) > _ABSENT_SECONDS

    def _open_log(self, place: RunDirectory, flowing: bool) -> Generator[bytes, None, None]:
        """The log of a run's node; see `toolkit.targets.streaming`."""
        run, index = nodes.run_and_index(place)
        pod = self.pod(job_name_of(run), index)
        if pod is None:
            if self.is_current():
                return  # it is gone with its log, or has yet to come
            raise ConnectionError(self.error or "the pods are not known yet")
        if not words.has_started(pod):
            return
        try:
            yield from self.api().log(pod["metadata"]["name"], CONTAINER, flowing)
        except Refused as error:
            if error.code not in (400, 404):  # it has not come up, or it is gone
                raise

    # -- ending -------------------------------------------------------------------------------------------------------

    def end(self, name: str, at_once: bool = False) -> None:
        """Have a Job deleted by a thread: its pods get their grace, or are killed at once."""
        self._ending.submit(self._end, name, at_once)

    def forget(self, name: str) -> None:
        """The run of a Job has ended and all of it is here: the Job goes, and everything that it owns."""
        self._absent.pop(name, None)
        job = self.jobs.get(name)
        if job is None and not self.is_current():
            self.end(name)
        elif job is not None and job["metadata"]["uid"] not in self._ended:
            self._ended.add(job["metadata"]["uid"])
            self.end(name)

    def _end(self, name: str, at_once: bool) -> None:
        for _ in range(_END_ATTEMPTS):
            try:
                api = self.api()
                for pod in self.pods.of_owner(name) if at_once else []:
                    api.delete("pods", pod["metadata"]["name"], 0)
                api.delete("jobs", name)
                return
            except Exception as error:  # the cluster is away for a moment, or a token has run out
                print(f"the Job {name} cannot be deleted now: {error}", flush=True)
                time.sleep(_END_SECONDS)
        job = self.jobs.get(name)
        if job is not None:
            self._ended.discard(job["metadata"]["uid"])  # whoever sees it next tries again

    def _job_changed(self, job: Object) -> None:
        wake(self._pipe)
        if self._is_leftover(job):
            self.forget(job["metadata"]["name"])

    def _is_leftover(self, job: Object) -> bool:
        """Whether a Job is of a run that is over: an agent that was ended has left it."""
        annotations = job["metadata"].get("annotations") or {}
        run = self._paths.run(str(annotations.get(RUN_ANNOTATION) or "-"))
        if str(annotations.get(ATTEMPT_ANNOTATION)) != str(attempts.count(run) + 1):
            return True
        try:
            return not os.path.exists(run.definition) or status.last_event(run).status in status.TERMINAL
        except ToolkitError:
            return False


@cache
def cluster(where: Where, paths: WorkspacePaths) -> Cluster:
    """The one cluster of this process for a place and a workspace."""
    return Cluster(where, paths)


def workspace_label(paths: WorkspacePaths) -> str:
    """What marks the objects of a workspace."""
    return f"w{hashlib.sha256(str(paths.root).encode()).hexdigest()[:16]}"  # a letter: it never reads as a number


def job_name_of(run: RunDirectory) -> str:
    """The name of the Job that a run has now: its plan says it."""
    plan = Plan.load(run)
    return str(plan.container["manifests"][0]["metadata"]["name"]) if plan else ""
