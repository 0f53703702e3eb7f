"""The workspace configuration: `workspace.yaml`, what a user may edit, checked when it is read."""

from __future__ import annotations

import copy
import functools
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toolkit.errors import UserErrorException, storage_errors
from toolkit.inscript.files import read_json, write_text

TEMPLATE = """\
# The configuration of a toolkit workspace. Changes count from the next submit on.

# Where runs are recorded: an MLflow tracking URI, as in http://mlflow.example.com. Empty: a database of this
# workspace's own, served on this machine when somebody asks for a URL.
tracking_uri:

# The largest source_directory that is taken, in MB; 0 for no limit.
snapshot_limit_mb: 300

# Where conda packages come from: auto (their channels, or PyPI when no channel answers), conda, or pypi.
package_source: auto

# Where the images of environments are kept for other machines, as in registry.example.com/team: they are pulled from
# there instead of being built, and pushed there when they were. Empty: nowhere.
image_registry:

# `slots` is how many runs go at once. A target that `shares` another's takes its slots from there.
# `gpus` is how many GPUs of this machine each run has for itself; runs wait for free ones.
# docker: also engine, base_image, network (host, bridge, none), memory, cpus, shm_size, volumes.
# Hosts and clusters: `toolkit compute add NAME --kind ssh`, slurm, ray or kubernetes, writes them here.
compute_targets:
  local: {type: local, slots: 1}
  cpu-cluster: {type: local, shares: local}
  gpu: {type: local, gpus: 1}
  docker: {type: docker, shares: local}
"""

_DEFAULT_TARGETS: dict[str, dict[str, Any]] = {
    "local": {"type": "local", "slots": 1},
    "cpu-cluster": {"type": "local", "shares": "local"},
    "gpu": {"type": "local", "gpus": 1},
    "docker": {"type": "docker", "shares": "local"},
}
NO_LIMIT = 1_000_000  # of slots, where GPUs or an engine's own queue limit, or nothing has to


@dataclass(frozen=True)
class WorkspaceConfiguration:
    """What `workspace.yaml` says.

    Attributes:
        tracking_uri: an MLflow tracking URI, or "" for the workspace's own store.
        snapshot_limit_mb: limit of a snapshot in megabytes (10^6 bytes); 0 for none.
        package_source: "auto", "conda" or "pypi".
        image_registry: where images are shared, as in "registry.example.com/team"; "" for nowhere.
        compute_targets: settings by name; each has a `type`.
        agent_idle_seconds: how long the agent stays without anything to do.
        cancel_grace_seconds: between the TERM and the KILL of a run that is cancelled or timed out.
    """

    tracking_uri: str = ""
    snapshot_limit_mb: float = 300
    package_source: str = "auto"
    image_registry: str = ""
    compute_targets: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(_DEFAULT_TARGETS))
    agent_idle_seconds: float = 600
    cancel_grace_seconds: float = 10

    def slots(self, target: str) -> int:
        """How many runs go at once in the pool of a target; with GPUs and no number, as many as there are GPUs for."""
        pool = self.compute_targets[self.compute_targets[target].get("shares", target)]
        return int(pool.get("slots", NO_LIMIT if pool.get("gpus") else 1))

    def what_makes(self, target: str) -> tuple[Any, ...]:
        """What differs whenever a target is not what it was before."""
        settings = self.compute_targets[target]
        pool = self.compute_targets.get(settings.get("shares", target))
        return settings, pool, self.cancel_grace_seconds, self.image_registry


def write_template(path: Path) -> None:
    """Write the configuration that a new workspace starts with."""
    with storage_errors("cannot write the workspace's configuration", path):
        write_text(str(path), TEMPLATE)


def changed(path: Path) -> tuple[int, int]:
    """What differs whenever `load(path)` may say something else."""
    return _modified(path), _modified(_created(path))


def _modified(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return -1


def _created(path: Path) -> Path:
    """The folder with the compute targets that control scripts created, beside the configuration `path`."""
    return path.parent / "compute"


def _created_targets(path: Path) -> dict[str, dict[str, Any]]:
    found = {}
    for file in sorted(_created(path).glob("*.json")):
        try:
            document = read_json(str(file))
            if document is not None:  # it was not deleted just now
                found[file.stem] = dict(document["settings"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserErrorException(
                f"{file} is not a compute target: {error!r}. Delete it, and create it anew"
            ) from error
    return found


@functools.lru_cache(maxsize=8)
def _parsed(text: str) -> Any:
    """The document of a text, which takes a millisecond: a submit asks for it three times."""
    import yaml

    return yaml.safe_load(text)


def load(path: Path) -> WorkspaceConfiguration:
    """Read and check a workspace's configuration, and the compute targets that control scripts created.

    What `workspace.yaml` says of a compute target goes before what a script asked for.

    Raises:
        UserErrorException: broken YAML, unknown keys or values, naming the valid ones.
    """
    import yaml

    try:
        document = copy.deepcopy(_parsed(path.read_text(encoding="utf-8"))) or {}
    except FileNotFoundError:
        document = {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserErrorException(f"{path} is not valid YAML: {error}. Mend it there") from error
    known = WorkspaceConfiguration.__dataclass_fields__
    if not isinstance(document, dict):
        raise UserErrorException(f"{path} must hold a mapping with the keys {', '.join(known)}")
    unknown = sorted(map(str, set(document) - set(known)))
    if unknown:
        raise UserErrorException(f"{path}: unknown key {', '.join(unknown)}; known are {', '.join(known)}")
    given = {key: value for key, value in document.items() if value is not None}
    configuration = WorkspaceConfiguration(**given)
    _check(path, configuration)
    created = _created_targets(path)
    if created:
        configuration = replace(configuration, compute_targets={**created, **configuration.compute_targets})
    return configuration


def _check(path: Path, configuration: WorkspaceConfiguration) -> None:
    for key, example in (
        ("tracking_uri", "http://mlflow.example.com"),
        ("image_registry", "registry.example.com/team"),
    ):
        value = getattr(configuration, key)
        if not isinstance(value, str):
            raise UserErrorException(f"{path}: {key} is {value!r}; it must be text, as in {example}")
    if "@" in configuration.image_registry or "://" in configuration.image_registry:
        raise UserErrorException(
            f"{path}: image_registry is the address of a registry and a folder in it, as in registry.example.com/team, "
            "without https:// and without credentials: `docker login` keeps those"
        )
    if configuration.package_source not in ("auto", "conda", "pypi"):
        raise UserErrorException(
            f"{path}: package_source is '{configuration.package_source}'; it can be auto, conda or pypi"
        )
    for key in ("snapshot_limit_mb", "agent_idle_seconds", "cancel_grace_seconds"):
        value = getattr(configuration, key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
            raise UserErrorException(f"{path}: {key} is {value!r}; it must be a number, 0 or more")
    targets = configuration.compute_targets
    if not isinstance(targets, dict):
        raise UserErrorException(f"{path}: compute_targets must be a mapping of names to settings")
    for name, settings in targets.items():
        if not isinstance(name, str):  # YAML reads on and 123 as something else
            raise UserErrorException(
                f"{path}: the name of a compute target is read as {name!r}: write it in quotes, as a text"
            )
        if not isinstance(settings, dict) or "type" not in settings:
            raise UserErrorException(f"{path}: compute target '{name}' needs a type, as in {name}: {{type: local}}")
