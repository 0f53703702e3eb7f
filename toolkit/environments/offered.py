"""Packages of Azure ML SDK v1 that the toolkit stands in for: they are not installed into an environment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.environments.spec import EnvironmentSpec

_OFFERED = re.compile(r"azureml(-[a-z0-9-]+)?$")
_NAME = re.compile(r"(?:[^\s\[\]]+::)?([A-Za-z0-9][A-Za-z0-9._-]*)")

# What scripts had from a package of the SDK without naming it, and what is there in its place.
_BROUGHT = {
    "azureml-dataprep": ("pandas", "pyarrow", "fsspec"),
    "azureml-dataset-runtime": ("pandas", "pyarrow", "fsspec"),
    "azureml-mlflow": ("mlflow-skinny",),
}
_SAME = {"mlflow-skinny": {"mlflow", "mlflow-skinny"}}


def is_offered(entry: str) -> bool:
    """Whether a conda or pip entry names a package of the SDK, such as `azureml-defaults==1.61`."""
    return _OFFERED.match(_name(entry)) is not None


def drop(spec: EnvironmentSpec) -> tuple[EnvironmentSpec, tuple[str, ...]]:
    """The specification without the SDK's packages, and notices of what was left out and what takes its place."""
    dropped = [entry for entry in (*spec.conda, *spec.pip) if is_offered(entry)]
    if not dropped:
        return spec, ()
    brought = _brought(dropped, (*spec.conda, *spec.pip))
    kept = replace(
        spec,
        conda=tuple(entry for entry in spec.conda if not is_offered(entry)),
        pip=(*(entry for entry in spec.pip if not is_offered(entry)), *brought),
    )
    left_out = f"left out {', '.join(dropped)}: nothing of it is needed, every run has `from toolkit import Run`"
    if not brought:
        return kept, (left_out,)
    return kept, (left_out, f"added {', '.join(brought)}, which scripts had from what was left out")


def _brought(dropped: Iterable[str], listed: Iterable[str]) -> list[str]:
    """What has to be there in place of the packages that are dropped, where nothing listed is it."""
    names = {_name(entry) for entry in listed}
    wanted = dict.fromkeys(package for entry in dropped for package in _BROUGHT.get(_name(entry), ()))
    return [package for package in wanted if not names & _SAME.get(package, {package})]


def _name(entry: str) -> str:
    """The name of the package of a conda or pip entry, as PyPI writes it."""
    match = _NAME.match(entry.strip())
    return re.sub(r"[-_.]+", "-", match[1]).lower() if match else ""
