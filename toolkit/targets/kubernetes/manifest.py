"""The exact objects that a run is on a cluster: a Job and, for many nodes, a Service. Pure: documents from documents.

The variables, the plan and the sources are in Secrets (see `parcel`), so nothing in here is a secret.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.targets.kubernetes.settings import DEFAULT_GPU_RESOURCE, DEFAULT_USER
from toolkit.targets.settings import size_in_bytes

Object = dict[str, Any]
CONTAINER = "run"
RUN_LABEL, WORKSPACE_LABEL, EXPERIMENT_LABEL = "toolkit.run", "toolkit.workspace", "toolkit.experiment"
RUN_ANNOTATION, ATTEMPT_ANNOTATION = "toolkit.run-id", "toolkit.attempt"
NODE_FOLDER, PARCEL_FOLDER = "/toolkit", "/toolkit-parcel"
KEPT_SECONDS = 7 * 24 * 3600  # a Job that has ended and that no agent fetches
MORE_GRACE_SECONDS = 15  # for what is still to be printed when the script has ended
MORE_SECONDS = 900  # of a pod beyond the longest time of its script: pulling the image, printing outputs
MASTER_PORT = 29400
_INDEX = "metadata.annotations['batch.kubernetes.io/job-completion-index']"
_NAME_LENGTH = 52  # a pod's name and hostname add the number of its node, and have 63


@dataclass(frozen=True)
class Wanted:
    """What a run asks of the cluster.

    Attributes:
        name: of the Job, and of what belongs to it.
        settings: those of the compute target.
        labels, annotations: of every object.
        image: where nodes pull it from.
        command: what starts in each pod.
        parcel: the names of the Secrets with what it reads.
        memory, shm: bytes; `memory` None for no limit.
        cpus: None for no limit.
        nodes: how many pods.
        grace: seconds between TERM and KILL for the script.
        max_seconds: the longest the script may run; 0 for no limit.
    """

    name: str
    settings: Mapping[str, Any]
    labels: dict[str, str]
    annotations: dict[str, str]
    image: str
    command: list[str]
    parcel: list[str]
    memory: int | None = None
    shm: int = 2 << 30
    cpus: float | None = None
    nodes: int = 1
    grace: float = 10
    max_seconds: float = 0


def manifests(wanted: Wanted) -> list[Object]:
    """The objects of a run: its Job first, which owns the others."""
    return [_job(wanted), *([_service(wanted)] if wanted.nodes > 1 else [])]


def object_name(run_id: str, attempt: int, root: str) -> str:
    """The name of a run's Job, one an attempt: readable, a label of DNS, and the same whenever it is asked for."""
    digest = hashlib.sha256(f"{root}\0{attempt}".encode()).hexdigest()[:10]
    words = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    return f"toolkit-{words[: _NAME_LENGTH - 19].strip('-')}-{digest}"


def label_value(text: str) -> str:
    """A text as the value of a label: what does not fit is left out."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)[:63].strip("-_.")


def service_host(name: str) -> str:
    """Where the first node of a run is, for the others."""
    return f"{name}-0.{name}"


def _job(wanted: Wanted) -> Object:
    spec: Object = {
        "backoffLimit": 0,  # whether a run is started again is the toolkit's to decide
        "completions": wanted.nodes,
        "parallelism": wanted.nodes,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
    }
    if wanted.nodes > 1:
        spec["completionMode"] = "Indexed"
    labels = dict(wanted.labels)
    if wanted.settings.get("queue"):
        labels["kueue.x-k8s.io/queue-name"] = wanted.settings["queue"]
        spec["suspend"] = True  # until Kueue lets it in
    metadata = {"labels": wanted.labels, "annotations": wanted.annotations}
    spec["template"] = {"metadata": metadata, "spec": _pod(wanted)}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": _metadata(wanted, labels), "spec": spec}


def _service(wanted: Wanted) -> Object:
    """Gives the pods names, by which they find the first of them."""
    spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": {RUN_LABEL: wanted.labels[RUN_LABEL]}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(wanted, wanted.labels), "spec": spec}


def _metadata(wanted: Wanted, labels: dict[str, str]) -> Object:
    where = {"namespace": wanted.settings["namespace"]} if wanted.settings.get("namespace") else {}
    return {"name": wanted.name, **where, "labels": labels, "annotations": wanted.annotations}


def _pod(wanted: Wanted) -> Object:
    settings, user = wanted.settings, int(wanted.settings.get("user", DEFAULT_USER))
    pod: Object = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": math.ceil(wanted.grace) + MORE_GRACE_SECONDS,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsUser": user,
            "runAsGroup": user,
            "fsGroup": user,
            "runAsNonRoot": user != 0,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(wanted)],
        "volumes": _volumes(wanted),
    }
    if settings.get("service_account"):
        pod["serviceAccountName"] = settings["service_account"]
    else:
        pod["automountServiceAccountToken"] = False
    if wanted.max_seconds:
        pod["activeDeadlineSeconds"] = math.ceil(wanted.max_seconds + wanted.grace) + MORE_SECONDS
    if wanted.nodes > 1:
        pod["subdomain"] = wanted.name
    for name, key in (("node_selector", "nodeSelector"), ("tolerations", "tolerations")):
        if settings.get(name):
            pod[key] = settings[name]
    if settings.get("priority_class"):
        pod["priorityClassName"] = settings["priority_class"]
    if settings.get("image_pull_secrets"):
        pod["imagePullSecrets"] = [{"name": name} for name in settings["image_pull_secrets"]]
    return pod


def _container(wanted: Wanted) -> Object:
    mounts: list[Object] = [
        {"name": "node", "mountPath": NODE_FOLDER},
        {"name": "parcel", "mountPath": PARCEL_FOLDER, "readOnly": True},
        {"name": "shm", "mountPath": "/dev/shm"},
    ]
    for number, place in enumerate((wanted.settings.get("volumes") or {}).values()):
        mounts.append({"name": f"claim-{number}", "mountPath": place})
    return {
        "name": CONTAINER,
        "image": wanted.image,
        "command": wanted.command,
        "env": _variables(wanted),
        "resources": _resources(wanted),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": mounts,
    }


def _variables(wanted: Wanted) -> list[Object]:
    """What differs from node to node; all else is in the plan."""
    if wanted.nodes == 1:
        return []
    return [
        {"name": "TOOLKIT_NODE_COUNT", "value": str(wanted.nodes)},
        {"name": "TOOLKIT_NODE_RANK", "valueFrom": {"fieldRef": {"fieldPath": _INDEX}}},
        {"name": "MASTER_ADDR", "value": service_host(wanted.name)},
        {"name": "MASTER_PORT", "value": str(MASTER_PORT)},
    ]


def _resources(wanted: Wanted) -> Object:
    """Requests and limits: the same for memory, so that no run is ended because its neighbour wants more."""
    requests: dict[str, str] = {}
    limits: dict[str, str] = {}
    if wanted.cpus:
        requests["cpu"] = f"{round(wanted.cpus * 1000)}m"
    if wanted.memory:
        requests["memory"] = limits["memory"] = str(wanted.memory)
    if wanted.settings.get("disk"):
        requests["ephemeral-storage"] = limits["ephemeral-storage"] = str(size_in_bytes(wanted.settings["disk"]))
    if wanted.settings.get("gpus"):
        resource = str(wanted.settings.get("gpu_resource", DEFAULT_GPU_RESOURCE))
        requests[resource] = limits[resource] = str(wanted.settings["gpus"])
    return {**({"requests": requests} if requests else {}), **({"limits": limits} if limits else {})}


def _volumes(wanted: Wanted) -> list[Object]:
    sources = [{"secret": {"name": name}} for name in wanted.parcel]
    volumes: list[Object] = [
        {"name": "node", "emptyDir": {}},
        {"name": "parcel", "projected": {"sources": sources, "defaultMode": 0o444}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": str(wanted.shm)}},
    ]
    for number, claim in enumerate(wanted.settings.get("volumes") or {}):
        volumes.append({"name": f"claim-{number}", "persistentVolumeClaim": {"claimName": claim}})
    return volumes
