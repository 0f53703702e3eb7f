"""Giving runs to a cluster, in threads: pushing an image and sending the sources take longer than an agent may wait."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from toolkit.environments.request import Request
from toolkit.errors import ContainerEngineError, ContainerEngineUnreachable, EngineUnreachable
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RunDirectory
from toolkit.inscript.wake import wake
from toolkit.targets.base import LaunchError, NotYet, Plan
from toolkit.targets.kubernetes import images, parcel
from toolkit.targets.kubernetes.api import Api, Object, Refused
from toolkit.targets.kubernetes.manifest import CONTAINER
from toolkit.targets.kubernetes.parcel import Parcel

_THREADS = 4
_COLLECT_SECONDS = 10.0  # the agent asks again within this, or the run is not to be started any more
Pack = Callable[[Plan], Parcel]


class Launching:
    """The runs that are on their way to the cluster.

    Args:
        api: the cluster; asked for in a thread, since signing in may take long.
        launched: told of each Job that is there.
    """

    def __init__(self, api: Callable[[], Api], launched: Callable[[Object], None]) -> None:
        self._api = api
        self._launched = launched
        self._pool = ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="kubernetes-launch")
        self._waiters = ThreadPoolExecutor(max_workers=1, thread_name_prefix="kubernetes-uncollected")
        self._going: dict[str, Future[str]] = {}
        self._words: dict[str, str] = {}

    def launch(self, plan: Plan, pack: Pack) -> str:
        """The name of the run's Job, once the cluster has it.

        Args:
            pack: makes what the pods of a run read.

        Raises:
            NotYet: it is on its way.
            LaunchError: the cluster refused it.
            EngineUnreachable: the cluster does not answer, or the container engine that has the image.
        """
        key = plan.run.root
        going = self._going.get(key)
        if going is None:
            self._going[key] = going = self._pool.submit(self._give, plan, pack)
            going.add_done_callback(lambda _: wake(plan.wake))
        if not going.done():
            raise NotYet(self._words.get(key, "giving it to the cluster"))
        self._going.pop(key, None)
        self._words.pop(key, None)
        return going.result()

    def _give(self, plan: Plan, pack: Pack) -> str:
        try:
            completed, packed = self._complete(plan, pack)
            if os.path.exists(plan.run.cancel):
                raise LaunchError("it was cancelled on its way")
            if os.path.exists(plan.run.exit):  # it is over, and its Job may be gone already
                return str(completed.container["manifests"][0]["metadata"]["name"])
            name = self._create(completed, packed)
        except Refused as error:
            raise LaunchError(str(error)) from error
        except ContainerEngineUnreachable:
            raise
        except ContainerEngineError as error:
            raise LaunchError(str(error)) from error
        self._waiters.submit(self._withdraw_uncollected, plan.run, name)
        return name

    def _complete(self, plan: Plan, pack: Pack) -> tuple[Plan, Parcel]:
        """The plan with the image by its digest and the Secrets by their content, as it is kept from now on."""
        environment = read_json(plan.run.definition)["environment"]
        image = images.ensure(
            Request.from_dict(environment),
            plan.container["engine_image"],
            plan.container["python"],
            lambda line: self._words.__setitem__(plan.run.root, f"pushing the image: {line}"),
        )
        self._words[plan.run.root] = "sending the sources"
        packed = pack(plan)
        own = plan.container["manifests"][0]["metadata"]["name"]
        secrets = [own, *(part.name for part in packed.parts)]
        completed = replace(plan, container={**plan.container, "manifests": filled(plan, image, secrets)})
        completed.save()
        return completed, packed

    def _create(self, plan: Plan, packed: Parcel) -> str:
        """Create the run's objects. Each may be there already, from an agent that was ended."""
        api = self._api()
        job, *others = plan.container["manifests"]
        name = str(job["metadata"]["name"])
        made = _created(api, "jobs", job)
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": made["metadata"]["uid"]}
        metadata = {"labels": job["metadata"]["labels"], "ownerReferences": [owner]}
        try:
            for other in others:
                _created(api, "services", {**other, "metadata": {**other["metadata"], "ownerReferences": [owner]}})
            for part in packed.parts:
                shared = parcel.secret(
                    part.name, {part.name: part.content}, {**metadata, "labels": _shared_labels(job)}
                )
                _created_or_owned(api, shared, owner)
            own = parcel.secret(name, packed.own, {**metadata, "annotations": job["metadata"]["annotations"]})
            _created(api, "secrets", own)
        except Refused:
            api.delete("jobs", name)
            raise
        self._launched(made)
        return name

    def _withdraw_uncollected(self, run: RunDirectory, name: str) -> None:
        """A run that was cancelled on its way: nobody but this thread knows that the cluster has it."""
        deadline = time.monotonic() + _COLLECT_SECONDS
        while time.monotonic() < deadline and run.root in self._going:
            if os.path.exists(run.cancel):
                time.sleep(0.2)  # the agent may be about to take it
                if self._going.pop(run.root, None) is not None:
                    self._api().delete("jobs", name)
                return
            time.sleep(0.05)


def filled(plan: Plan, image: str, secrets: list[str]) -> list[Object]:
    """The manifests of a plan with what is known only when it is launched."""
    made: list[Object] = copy.deepcopy(plan.container["manifests"])
    pod: dict[str, Any] = made[0]["spec"]["template"]["spec"]
    for container in pod["containers"]:
        if container["name"] == CONTAINER:
            container["image"] = image
    for volume in pod["volumes"]:
        if volume["name"] == "parcel":
            volume["projected"]["sources"] = [{"secret": {"name": name}} for name in secrets]
    return made


def _created(api: Api, resource: str, item: Object) -> Object:
    """Create an object, or find the one of this name."""
    try:
        return api.create(resource, item)
    except Refused as error:
        if error.code != 409:
            raise
    return api.get(resource, item["metadata"]["name"]) if resource == "jobs" else item


def _created_or_owned(api: Api, item: Object, owner: Object) -> None:
    """Create an object that runs share, or become one of those that own it."""
    for _ in range(3):  # the last of its owners may be going just now
        try:
            api.create("secrets", item)
            return
        except Refused as error:
            if error.code != 409:
                raise
        try:
            api.patch("secrets", item["metadata"]["name"], {"metadata": {"ownerReferences": [owner]}})
            return
        except Refused as error:
            if error.code != 404:
                raise
    raise EngineUnreachable(f"the cluster takes {item['metadata']['name']} away as often as it is created")


def _shared_labels(job: Object) -> dict[str, str]:
    return {"app.kubernetes.io/managed-by": str(job["metadata"]["labels"]["app.kubernetes.io/managed-by"])}
