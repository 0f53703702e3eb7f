"""What may be said of a Ray cluster."""

from __future__ import annotations

import re

from toolkit.targets.kind import Kind
from toolkit.targets.settings import (
    COMMON,
    DEFAULT_FOLDER,
    POLICY,
    QUEUE,
    Setting,
    is_positive,
    is_size,
    is_text,
    whole,
)

DEFAULT_CPUS = 1
DEFAULT_MAX_OUTPUT_MB = 500
_ADDRESS = re.compile(r"https?://[^\s/@?#]+(/[^\s@?#]*)?")


def _is_address(value: object) -> bool:
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def _is_resources(value: object) -> bool:
    return isinstance(value, dict) and all(is_text(name) and is_positive(count) for name, count in value.items())


SETTINGS = {
    "type": COMMON["type"],
    "gpus": Setting(is_positive, "a number above 0: the GPUs that Ray gives each run; 0.5 for half of one"),
    **POLICY,
    **QUEUE,
    "address": Setting(_is_address, "the address of Ray's dashboard, as in http://head:8265"),
    "token_file": Setting(is_text, "a file with the cluster's token, as in ~/.ray/auth_token"),
    "cpus": Setting(is_positive, f"a number above 0: the CPUs that Ray gives each run ({DEFAULT_CPUS} by default)"),
    "memory": Setting(is_size, "a size, as in 8g: the memory that Ray counts for each run"),
    "resources": Setting(_is_resources, "names of the cluster's own resources and how many, as in {a100: 1}"),
    "python": Setting(is_text, "a Python on the nodes, 3.6 or later, as in /opt/train/bin/python (python3 by default)"),
    "shared": Setting(
        lambda value: isinstance(value, bool),
        "true where the nodes have the toolkit's home of this machine under the same path, false elsewhere",
    ),
    "folder": Setting(
        lambda value: isinstance(value, str) and value.startswith(("/", "~", "$")),
        f"a folder on the nodes in which runs work ({DEFAULT_FOLDER} by default); one that they share keeps "
        "checkpoints for another attempt on another node",
    ),
    "max_output_mb": Setting(
        whole(1), f"a whole number: larger outputs are not carried back ({DEFAULT_MAX_OUTPUT_MB} by default)"
    ),
}
KIND = Kind(
    "toolkit.targets.ray.target:RayTarget",
    SETTINGS,
    summary="a Ray cluster, by its Jobs API",
    required=("address",),
    example={"address": "http://head:8265"},
    is_here=False,
    default_python="python3",
    check="toolkit.targets.ray.checks:check",
    examine="toolkit.targets.ray.checks:examine",
)
