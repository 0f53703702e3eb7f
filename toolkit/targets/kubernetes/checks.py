"""What cannot work on a cluster, said at submit, before anything is written."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any

from toolkit.errors import ComputeTargetException
from toolkit.images.bases import registry_of
from toolkit.targets import docker_options
from toolkit.targets.elsewhere import check_direct
from toolkit.targets.kubernetes.api import Api, Where

_HONOURED = {"network", "init", "shm_size", "mem_limit", "memswap_limit", "nano_cpus", "mounts"}


def check(name: str, settings: Mapping[str, Any], definition: Mapping[str, Any]) -> list[str]:
    """The notices for a run on the compute target `name`.

    Raises:
        ComputeTargetException: it cannot run there.
    """
    _check_client(name)
    _check_folder(name, settings)
    _check_image(name, definition["environment"])
    _check_data(name, settings, definition)
    return _unused_options(name, definition["environment"])


def examine(name: str, settings: Mapping[str, Any]) -> str:
    """For `toolkit doctor`: the cluster, and the namespace in which we may look at jobs.

    Raises:
        ComputeTargetException: the client is not installed.
        EngineUnreachable, Refused: the cluster does not answer, or does not let us.
    """
    _check_client(name)
    where = Where(*(str(settings.get(key) or "") for key in ("config", "context", "namespace")))
    api = Api(where)
    api.list("jobs", "toolkit=none")
    return f"{where}, namespace {api.namespace}"


def _check_client(name: str) -> None:
    if importlib.util.find_spec("kubernetes") is None:
        raise ComputeTargetException(
            f"compute target '{name}' needs the package 'kubernetes', which is not installed here: "
            "pip install 'toolkit[kubernetes]'"
        )


def _check_folder(name: str, settings: Mapping[str, Any]) -> None:
    folder = settings.get("folder")
    if folder and not _is_on_volume(settings, folder):
        raise ComputeTargetException(
            f"compute target '{name}' has folder '{folder}', which is on none of its volumes: mount a claim there, as "
            "in volumes: {training: /data} and folder: /data/runs"
        )


def _check_image(name: str, environment: Mapping[str, Any]) -> None:
    """Nodes pull images: they have to be in a registry."""
    image = environment.get("image") or {}
    as_it_is = environment.get("specification") is None and environment.get("lock") is None
    in_registry = as_it_is and bool(registry_of(str(image.get("base_image") or "")))
    if not image.get("image_registry") and not in_registry:
        raise ComputeTargetException(
            f"compute target '{name}' is a Kubernetes cluster, whose nodes pull the images of environments from a "
            "registry, and the workspace names none: set image_registry in its configuration to one that you may push "
            "to and the nodes may pull from, as in image_registry: registry.example.com/team"
        )


def _check_data(name: str, settings: Mapping[str, Any], definition: Mapping[str, Any]) -> None:
    """Pods see no folder of this machine but what claims mount under the same path."""
    data = definition.get("data") or {}
    for key, entry in (data.get("inputs") or {}).items():
        if entry["mode"] == "direct":
            remedy = "mount a claim that holds the same files under the same path, as in volumes: {datasets: /data}"
            check_direct(name, definition, key, lambda path: _is_on_volume(settings, path), remedy)
            continue
        for source in (entry.get("files") or {}).get("sources", []):
            path = f"{source.get('root', '').rstrip('/')}/{source['path'].lstrip('/')}"
            if not _is_on_volume(settings, path):
                raise ComputeTargetException(
                    f"the input '{key}' lies at {path} on this machine, and pods of compute target '{name}' do not see "
                    "it: mount a claim that holds the same files under that path, as in volumes: {datasets: /data}, or "
                    "give the script the path that they have in the pod as a plain argument"
                )
    for key, entry in (data.get("outputs") or {}).items():
        if not entry["source"] and not entry["globs"] and entry["mode"] != "upload":
            raise ComputeTargetException(
                f"the output '{key}' is written into a datastore of this machine, and pods of compute target '{name}' "
                "do not see it: use .as_upload(), which is carried back when the run has ended"
            )


def _is_on_volume(settings: Mapping[str, Any], path: str) -> bool:
    places = [place.rstrip("/") + "/" for place in (settings.get("volumes") or {}).values()]
    return any((path.rstrip("/") + "/").startswith(place) for place in places)


def _unused_options(name: str, environment: Mapping[str, Any]) -> list[str]:
    asked = docker_options.of({}, environment.get("docker") or {})
    unused = sorted(key for key in asked.keys() - _HONOURED if asked[key])
    if asked["mounts"]:
        unused.append("volume")
    if not unused:
        return []
    return [
        f"environment.docker.arguments: {', '.join(unused)} not used on compute target '{name}': "
        "pods get what its settings say"
    ]
