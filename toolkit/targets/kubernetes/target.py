"""The Kubernetes target: a run is a Job, whose pods print what is new in their run directory as their log.

The agent asks the cluster nothing: a list and a watch for all runs of the workspace tell what becomes of Jobs and pods
(`view`), followers read their logs (`toolkit.targets.streaming`), and what has to be sent or ended is done by threads.
A Job is deleted when all that its run left has come; one that nobody fetches is deleted by the cluster, in a week.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from toolkit.configuration import NO_LIMIT, WorkspaceConfiguration
from toolkit.environments.request import Request
from toolkit.inscript import attempts
from toolkit.inscript.files import claim_json, read_json
from toolkit.inscript.launching import last_words
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.targets import docker_options, launched
from toolkit.targets.base import Handle, Job, LaunchError, Phase, Plan
from toolkit.targets.engine_state import OUT_OF_MEMORY, EngineState
from toolkit.targets.kubernetes import images, nodes, parcel, words
from toolkit.targets.kubernetes import manifest as manifests
from toolkit.targets.kubernetes.api import Object, Where
from toolkit.targets.kubernetes.cluster import Cluster, workspace_label
from toolkit.targets.kubernetes.cluster import cluster as find_cluster
from toolkit.targets.kubernetes.settings import DEFAULT_OUTPUT_MB
from toolkit.targets.kubernetes.words import Said
from toolkit.targets.mirror import Mirror
from toolkit.targets.mount import inscript_folder
from toolkit.targets.planning import plan_of, python_in_image
from toolkit.targets.streaming import engine_log
from toolkit.targets.there import start_document, there

ENGINE = "Kubernetes"
CANNOT_SECONDS = 300.0  # an image that cannot be pulled for so long will not be
STUCK_SECONDS = 120.0  # beyond its grace, a pod that is still ending is on a node that is gone
OTHERS_SECONDS = 30.0  # how long the end of a run waits for the logs of its further nodes


class KubernetesTarget:
    """Runs scripts as Jobs of a cluster."""

    queues = True
    gpus = 0  # of this machine; those of the cluster are asked for in the manifest

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = self.pool = name
        self.slots = int(settings.get("max_concurrent_runs", NO_LIMIT))
        self._settings = settings
        self._grace = configuration.cancel_grace_seconds
        self._paths = paths
        self._where = Where(*(str(settings.get(key) or "") for key in ("config", "context", "namespace")))
        self._places: dict[Handle, _Place] = {}
        self._noted: dict[str, EngineState] = {}
        self._since: dict[tuple[str, str], float] = {}  # since when something is so of a run

    # -- the plan -----------------------------------------------------------------------------------------------------

    def prepare(self, job: Job) -> Plan:
        """The plan of a run, with the exact objects that the cluster is asked for.

        Two things are filled in at the launch: the digest of the image, and the Secrets of the sources.
        """
        python = str(job.environment["python"])
        plan = plan_of(job, "kubernetes", python_in_image(job, python), self._paths, self._grace)
        plan.environment["USER"] = plan.environment["LOGNAME"] = "toolkit"
        plan.environment["HOME"] = "/tmp"  # the image knows no home of this user
        return there(replace(plan, container=self._container(job, python)), "a Kubernetes cluster")

    def _container(self, job: Job, python: str) -> dict[str, Any]:
        run, definition = job.run, job.definition
        sizes = ("memory", "cpus", "shm_size")
        sized: dict[str, Any] = {key: self._settings[key] for key in sizes if key in self._settings}
        asked = docker_options.of(sized, definition["environment"].get("docker") or {})
        attempt = attempts.count(run) + 1
        name = manifests.object_name(run.id, attempt, run.root)
        wanted = manifests.Wanted(
            name=name,
            settings=self._settings,
            labels={
                "app.kubernetes.io/managed-by": "toolkit",
                manifests.RUN_LABEL: name,
                manifests.WORKSPACE_LABEL: workspace_label(self._paths),
                manifests.EXPERIMENT_LABEL: manifests.label_value(str(definition["experiment"])),
            },
            annotations={manifests.RUN_ANNOTATION: run.id, manifests.ATTEMPT_ANNOTATION: str(attempt)},
            image=images.name_in_registry(Request.from_dict(definition["environment"])),
            command=parcel.command(python),
            parcel=[name],
            memory=asked.get("mem_limit"),
            shm=int(asked.get("shm_size") or 2 << 30),
            cpus=asked["nano_cpus"] / 1e9 if "nano_cpus" in asked else None,
            nodes=node_count(definition),
            grace=self._grace,
            max_seconds=float(definition["max_run_duration_seconds"] or 0),
        )
        return {
            "manifests": manifests.manifests(wanted),
            "engine_image": job.environment["image"],
            "python": python,
            "mem_limit": wanted.memory,
            "where": asdict(self._where),
        }

    def _pack(self, plan: Plan) -> parcel.Parcel:
        """What the pods of a run read."""
        run, definition = plan.run, read_json(plan.run.definition)
        count = node_count(definition)
        folder = str(self._settings.get("folder") or f"{manifests.NODE_FOLDER}/runs")
        start = start_document(
            plan,
            f"{folder}/node-$TOOLKIT_NODE_RANK" if count > 1 else folder,
            int(self._settings.get("max_output_mb", DEFAULT_OUTPUT_MB)),
            int((definition.get("retry") or {}).get("max_retries") or 0),
        )
        snapshot = {"store": str(self._paths.snapshots), "id": definition["snapshot"]["id"]}
        sizes = nodes.sizes(run, count) if attempts.count(run) else {}
        return parcel.pack(inscript_folder(), snapshot, start, sizes)

    # -- launching ----------------------------------------------------------------------------------------------------

    def launch(self, plan: Plan) -> Handle:
        if not plan.container["python"]:
            raise LaunchError(
                f"the image {plan.container['engine_image']} has no Python, and the launcher of a run needs one (3.6 "
                "or later): use an image that has `python3`, or give the environment packages, which bring their own"
            )
        place = _place_of(plan, self._paths)
        place.cluster.watch()
        name = place.cluster.launching.launch(plan, self._pack)
        nodes.prepare(plan.run, place.nodes)
        return Handle(plan.run.root, name)

    # -- what becomes of it -------------------------------------------------------------------------------------------

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        return {handle: self._phase(handle) for handle in handles}

    def _place(self, handle: Handle) -> _Place:
        """Where a run is: as its plan says, whatever the settings say now."""
        if handle not in self._places:
            plan = Plan.load(handle.run)
            self._places[handle] = _place_of(plan, self._paths) if plan else self._unplanned(handle)
        return self._places[handle]

    def _unplanned(self, handle: Handle) -> _Place:
        return _Place(find_cluster(self._where, self._paths), handle.engine_id, 1)

    def _phase(self, handle: Handle) -> Phase:
        run, place = handle.run, self._place(handle)
        cluster, name = place.cluster, place.name
        cluster.watch()
        job, pod = cluster.jobs.get(name), cluster.pod(name)
        said = words.of(job, pod)
        if os.path.exists(run.exit):
            self._note(run, name, said)
            return self._ended(handle)
        over = self._is_over(handle, job, pod)
        for index in range(place.nodes):
            if over or words.has_started(cluster.pod(name, index)):
                cluster.followers.follow(nodes.node(run, index))
        if said.state != "Gone" or over:
            self._note(run, name, said)
        if said.cannot and self._for(run, said.reason) > CANNOT_SECONDS:
            claim_json(run.exit, _record("not_started", message=_cannot(said)))
            return self._ended(handle)
        if over and cluster.followers.finish(run):
            if os.path.exists(run.exit) or self._record_end(run, said):
                return self._ended(handle)
            self._forget(handle)
            return Phase.LOST
        return Mirror(run).phase()

    def _is_over(self, handle: Handle, job: Object | None, pod: Object | None) -> bool:
        """Whether nothing of the run goes on any more, or will."""
        place = self._place(handle)
        if place.cluster.is_gone(place.name):
            return True
        if pod is None:
            return job is not None and words.job_has_ended(job)
        if words.has_ended(pod):
            return True
        if not pod["metadata"].get("deletionTimestamp"):
            return False
        grace = int(pod["spec"]["terminationGracePeriodSeconds"])
        return self._for(handle.run, "ending") > grace + STUCK_SECONDS

    def _ended(self, handle: Handle) -> Phase:
        """The run has its exit record: its end waits a while for what its further nodes print."""
        place = self._place(handle)
        others = range(1, place.nodes)
        if self._for(handle.run, "ended") < OTHERS_SECONDS and not all(self._has_all(handle, node) for node in others):
            return Phase.RUNNING
        self._forget(handle)
        place.cluster.forget(place.name)
        return Phase.ENDED

    def _has_all(self, handle: Handle, index: int) -> bool:
        """Whether all that a further node prints is here."""
        place, node = self._place(handle), nodes.node(handle.run, index)
        pod = place.cluster.pod(place.name, index)
        if pod is None or words.has_ended(pod):
            return place.cluster.followers.finish(node)
        return place.cluster.followers.is_complete(node)

    def _forget(self, handle: Handle) -> None:
        """Nothing more is to be heard of this attempt."""
        run, place = handle.run, self._place(handle)
        for index in range(place.nodes):
            place.cluster.followers.forget(nodes.node(run, index))
        del self._places[handle]
        self._noted.pop(run.root, None)
        for key in [key for key in self._since if key[0] == run.root]:
            del self._since[key]

    def _record_end(self, run: RunDirectory, said: Said) -> bool:
        """Record how a run ended that could not do so itself, where the cluster knows."""
        if os.path.exists(run.cancel):
            claim_json(run.exit, _record("stopped"))
        elif said.cause == OUT_OF_MEMORY:
            claim_json(run.exit, _record("out_of_memory"))
        elif said.code is not None and not said.cause:
            claim_json(run.exit, _record("container_ended", said.code, _ended_message(run, said)))
        return os.path.exists(run.exit)

    def _note(self, run: RunDirectory, name: str, said: Said) -> None:
        message = said.message
        if said.cause:
            message = f"the cluster ended the run's pod ({said.reason}){': ' if message else ''}{message}"
        state = EngineState(ENGINE, name, said.state, said.reason, said.node, said.cause, message)
        if self._noted.get(run.root) != state:
            self._noted[run.root] = state
            state.note(run)

    def _for(self, run: RunDirectory, what: str) -> float:
        """For how long, as far as this process knows, something has been so."""
        return time.monotonic() - self._since.setdefault((run.root, what), time.monotonic())

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        place = self._place(handle)
        place.cluster.watch()
        place.cluster.end(place.name, at_once=grace <= 0)


@dataclass(frozen=True)
class _Place:
    """Where a run is: its cluster, the name of its Job there, and on how many nodes."""

    cluster: Cluster
    name: str
    nodes: int


def _place_of(plan: Plan, paths: WorkspacePaths) -> _Place:
    job = plan.container["manifests"][0]
    cluster = find_cluster(Where(**plan.container["where"]), paths)
    return _Place(cluster, str(job["metadata"]["name"]), int(job["spec"]["completions"]))


def node_count(definition: dict[str, Any]) -> int:
    """How many pods a run has. The processes of TensorFlow's servers are told of each other on one."""
    distributed = definition.get("distributed") or {}
    return 1 if distributed.get("kind") == "tensorflow" else int(distributed.get("nodes") or 1)


def _record(reason: str, code: int | None = None, message: str = "") -> dict[str, Any]:
    record: dict[str, Any] = {"reason": reason, "code": code, "signal": None, "time": time.time()}
    return {**record, "message": message} if message else record


def _cannot(said: Said) -> str:
    what = {
        "CreateContainerConfigError": "the pod of the run cannot be made as its settings say",
        "InvalidImageName": "the name of the run's image is none that the cluster takes",
    }.get(said.reason, "the nodes of the cluster cannot pull the image of the run")
    return (
        f"{what} ({said.reason}): {said.message or 'it does not say why'}. Check that the nodes reach the workspace's "
        "image_registry and may pull from it: image_pull_secrets of the compute target names the Secrets for that"
    )


def _ended_message(run: RunDirectory, said: Said) -> str:
    if os.path.exists(run.started):
        return (
            f"the container of the run ended with code {said.code} before the script's end could be recorded: it was "
            "ended from outside; what it logged and wrote is kept. Submit it again"
        )
    heard = said.message or last_words(engine_log(run))
    return f"the launcher did not come up in the pod (code {said.code}, {said.reason}): {heard}"
