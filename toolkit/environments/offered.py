"""Packages of Azure ML SDK v1 that the toolkit stands in for: they are not installed into an environment."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.environments.spec import EnvironmentSpec

_OFFERED = re.compile(r"azureml(-[a-z0-9-]+)?$")
_NAME = re.compile(r"(?:[^\s\[\]]+::)?([A-Za-z0-9][A-Za-z0-9._-]*)")


def is_offered(entry: str) -> bool:
    """Whether a conda or pip entry names a package of the SDK, such as `azureml-defaults==1.61`."""
    match = _NAME.match(entry.strip())
    return match is not None and _OFFERED.match(re.sub(r"[-_.]+", "-", match[1]).lower()) is not None


def drop(spec: EnvironmentSpec) -> tuple[EnvironmentSpec, tuple[str, ...]]:
    """The specification without the SDK's packages, and a notice where some were left out."""
    dropped = [entry for entry in (*spec.conda, *spec.pip) if is_offered(entry)]
    if not dropped:
        return spec, ()
    kept = replace(
        spec,
        conda=tuple(entry for entry in spec.conda if not is_offered(entry)),
        pip=tuple(entry for entry in spec.pip if not is_offered(entry)),
    )
    return kept, (f"left out {', '.join(dropped)}: nothing of it is needed, every run has `from toolkit import Run`",)
