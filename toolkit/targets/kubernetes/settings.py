"""What may be said of a Kubernetes cluster."""

from __future__ import annotations

import re
from collections.abc import Callable

from toolkit.targets.kind import Kind
from toolkit.targets.settings import COMMON, CONTAINER, POLICY, QUEUE, Setting, is_positive, is_size, is_text, whole

DEFAULT_GPU_RESOURCE = "nvidia.com/gpu"
DEFAULT_USER = 1000
DEFAULT_OUTPUT_MB = 500
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_RESOURCE = re.compile(r"([a-z0-9.-]+/)?[A-Za-z0-9._-]+")
_TOLERATION = {"key", "operator", "value", "effect", "tolerationSeconds"}


def _matches(pattern: re.Pattern[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and pattern.fullmatch(value) is not None


def _names(value: object) -> bool:
    return isinstance(value, list) and all(map(_matches(_SUBDOMAIN), value))


def _labels(value: object) -> bool:
    return isinstance(value, dict) and all(is_text(key) and isinstance(one, str) for key, one in value.items())


def _tolerations(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, dict) and one and one.keys() <= _TOLERATION for one in value)


def _claims(value: object) -> bool:
    return isinstance(value, dict) and all(
        _matches(_SUBDOMAIN)(claim) and _is_folder(place) for claim, place in value.items()
    )


def _is_folder(value: object) -> bool:
    return isinstance(value, str) and value.startswith("/") and len(value) > 1 and ":" not in value


SETTINGS = {
    "type": COMMON["type"],
    "gpus": COMMON["gpus"],
    **POLICY,
    **QUEUE,
    "namespace": Setting(_matches(_NAME), "a namespace of the cluster, as in training"),
    "context": Setting(is_text, "a context of the kubeconfig, as `kubectl config get-contexts` lists them"),
    "config": Setting(is_text, "the path of a kubeconfig file"),
    "gpu_resource": Setting(_matches(_RESOURCE), f"what the cluster calls a GPU, as in {DEFAULT_GPU_RESOURCE}"),
    "cpus": Setting(is_positive, "a number above 0, as in 2.5"),
    "memory": Setting(is_size, "a size, as in 8g"),
    "shm_size": Setting(is_size, "a size, as in 2g"),
    "disk": Setting(is_size, "a size, as in 50g: of the node's own disk, for the working copy and outputs"),
    "node_selector": Setting(_labels, "labels of nodes, as in {pool: gpu}"),
    "tolerations": Setting(
        _tolerations, f"a list of tolerations, as in [{{key: gpu, operator: Exists}}]; known are {sorted(_TOLERATION)}"
    ),
    "service_account": Setting(_matches(_SUBDOMAIN), "the name of a ServiceAccount of the namespace"),
    "image_pull_secrets": Setting(_names, "a list of Secrets of the namespace, as in [registry-login]"),
    "priority_class": Setting(_matches(_SUBDOMAIN), "the name of a PriorityClass"),
    "queue": Setting(_matches(_NAME), "the name of a LocalQueue of Kueue"),
    "volumes": Setting(_claims, "claims of the namespace and where they are mounted, as in {datasets: /data}"),
    "folder": Setting(_is_folder, "a folder on one of the volumes, where run directories are made, as in /data/runs"),
    "user": Setting(whole(0), "the number of the user that scripts run as: 0 is root"),
    "max_output_mb": Setting(whole(1), "a whole number, 1 or more: larger outputs are not carried back"),
    "engine": CONTAINER["engine"],
    "base_image": CONTAINER["base_image"],
}
KIND = Kind(
    "toolkit.targets.kubernetes.target:KubernetesTarget",
    SETTINGS,
    summary="a Kubernetes cluster",
    example={"namespace": "training", "gpus": 1},
    runs_images=True,
    is_here=False,
    spans_nodes=True,
    check="toolkit.targets.kubernetes.checks:check",
    examine="toolkit.targets.kubernetes.checks:examine",
)
