"""What a Job and its pods say of a run, in words that people and the retries of a run go by. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.targets.engine_state import NODE_LOST, OUT_OF_MEMORY, PREEMPTED, TIMED_OUT

Object = dict[str, Any]
INDEX = "batch.kubernetes.io/job-completion-index"
# Why a pod is ended from outside, as its DisruptionTarget condition or its status has it.
_CAUSES = {
    "PreemptionByScheduler": PREEMPTED,
    "Preempting": PREEMPTED,
    "Preempted": PREEMPTED,
    "DeletionByTaintManager": NODE_LOST,
    "DeletionByPodGC": NODE_LOST,
    "EvictionByEvictionAPI": NODE_LOST,
    "TerminationByKubelet": NODE_LOST,
    "Evicted": NODE_LOST,
    "NodeLost": NODE_LOST,
    "NodeShutdown": NODE_LOST,
    "Terminated": NODE_LOST,
    "Shutdown": NODE_LOST,
    "UnexpectedAdmissionError": NODE_LOST,
    "DeadlineExceeded": TIMED_OUT,
    "OOMKilled": OUT_OF_MEMORY,
}
_CANNOT = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError")
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True)
class Said:
    """What the cluster says of one run.

    Attributes:
        state, reason: in its own words.
        node: where the pod is.
        cause: of `toolkit.targets.engine_state`; "" where it was not ended from outside.
        message: a sentence for people; "" where there is nothing more to say.
        cannot: it waits for something that seldom comes by itself: an image that cannot be pulled, say.
        code: the exit code of its container; None while there is none.
    """

    state: str
    reason: str = ""
    node: str = ""
    cause: str = ""
    message: str = ""
    cannot: bool = False
    code: int | None = None


def index_of(pod: Object) -> int:
    """Which of the nodes of its run a pod is."""
    return int((pod["metadata"].get("annotations") or {}).get(INDEX, 0))


def has_ended(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in _ENDED


def job_has_ended(job: Object) -> bool:
    return _condition(job, "Failed") is not None or _condition(job, "Complete") is not None


def has_started(pod: Object | None) -> bool:
    """Whether there is a log to read."""
    state = _container(pod) if pod else {}
    return "running" in state or "terminated" in state


def of(job: Object | None, pod: Object | None) -> Said:
    """What a Job and the first of its pods say."""
    if pod is None:
        return _of_job(job)
    status = pod.get("status") or {}
    node = str((pod.get("spec") or {}).get("nodeName") or "")
    terminated = _container(pod).get("terminated")
    cause, why, message = _disruption(pod, terminated)
    if terminated is not None:
        reason = why or str(terminated.get("reason") or "")
        said = message or str(terminated.get("message") or "")
        return Said(str(status["phase"]), reason, node, cause, said, code=int(terminated["exitCode"]))
    if cause or has_ended(pod):
        return Said(str(status.get("phase")), why, node, cause, message)
    waiting = _container(pod).get("waiting")
    if waiting:
        reason = str(waiting.get("reason") or "")
        return Said("Pending", reason, node, message=str(waiting.get("message") or ""), cannot=reason in _CANNOT)
    scheduled = _condition(pod, "PodScheduled")
    if scheduled is not None and scheduled["status"] == "False":
        return Said("Pending", str(scheduled.get("reason") or ""), node, message=str(scheduled.get("message") or ""))
    if pod["metadata"].get("deletionTimestamp"):
        return Said("Terminating", "", node)
    return Said(str(status.get("phase") or "Pending"), "", node)


def _of_job(job: Object | None) -> Said:
    if job is None:
        return Said("Gone", message="its Job was deleted")
    failed = _condition(job, "Failed")
    if failed is not None:
        reason = str(failed.get("reason") or "")
        return Said("Failed", reason, cause=_CAUSES.get(reason, ""), message=str(failed.get("message") or ""))
    if (job.get("spec") or {}).get("suspend"):
        return Said("Suspended", "waiting for its queue")
    return Said("Pending", "no pod yet")


def _disruption(pod: Object, terminated: Object | None) -> tuple[str, str, str]:
    """The cause, the reason and the message of a pod that something ended; empty where nothing did."""
    status = pod.get("status") or {}
    target = _condition(pod, "DisruptionTarget")
    if target is not None and target["status"] == "True":
        reason = str(target.get("reason") or "DisruptionTarget")
        return _CAUSES.get(reason, NODE_LOST), reason, str(target.get("message") or "")
    if status.get("reason"):
        reason = str(status["reason"])
        return _CAUSES.get(reason, ""), reason, str(status.get("message") or "")
    if terminated is not None and terminated.get("reason") == "OOMKilled":
        return OUT_OF_MEMORY, "OOMKilled", ""
    return "", "", ""


def _container(pod: Object) -> Object:
    statuses = (pod.get("status") or {}).get("containerStatuses") or []
    state: Object = (statuses[0].get("state") or {}) if statuses else {}
    return state


def _condition(item: Object, kind: str) -> Object | None:
    for one in (item.get("status") or {}).get("conditions") or []:
        if one.get("type") == kind and (kind not in ("Failed", "Complete") or one.get("status") == "True"):
            found: Object = one
            return found
    return None
