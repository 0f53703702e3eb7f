"""The engines that runs can be given to: container engines, ssh, Slurm, Ray, Kubernetes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import urllib.request
from pathlib import Path

from toolkit.doctor.finding import Finding
from toolkit.doctor.machine import first_line
from toolkit.errors import ToolkitError
from toolkit.images import engine

RAY_ADDRESS = "http://127.0.0.1:8265"  # where Ray's dashboard is by default
_SECONDS = 3.0


def _container_engine() -> list[Finding]:
    address = engine.address()
    try:
        engine.ping(address)
    except ToolkitError as error:
        return [Finding("container engine", False, remedy=str(error))]
    return [Finding("container engine", True, address)]


def _podman() -> list[Finding]:
    version = first_line(["podman", "--version"]) if shutil.which("podman") else ""
    remedy = "install podman, and set `engine` of a target of type docker to its socket: containers without root"
    return [Finding("podman", bool(version), version, remedy)]


def _ssh() -> list[Finding]:
    missing = [name for name in ("ssh", "rsync") if not shutil.which(name)]
    packages = {"ssh": "openssh-client", "rsync": "rsync"}
    remedy = f"install {' and '.join(packages[name] for name in missing)}, then `toolkit compute add NAME --kind ssh`"
    return [Finding("ssh", not missing, shutil.which("ssh") or "", remedy)]


def _slurm() -> list[Finding]:
    if not shutil.which("sbatch"):
        return [Finding("Slurm", False, remedy="submit on a login node of the cluster, which has `sbatch`")]
    partitions = first_line(["sinfo", "--noheader", "--format=%P %a"])
    remedy = "`sinfo` fails: is slurmctld up, and SLURM_CONF right?"
    return [Finding("Slurm", bool(partitions), f"partition {partitions}", remedy)]


def _ray() -> list[Finding]:
    address = os.environ.get("RAY_API_SERVER_ADDRESS") or RAY_ADDRESS
    try:
        with urllib.request.urlopen(f"{address.rstrip('/')}/api/version", timeout=_SECONDS) as answer:
            version = str(json.load(answer).get("ray_version"))
    except (OSError, ValueError, AttributeError, http.client.HTTPException):  # something else may listen there
        remedy = f"nothing answers at {address}: `toolkit compute add NAME --kind ray address=http://HEAD:8265`"
        return [Finding("Ray", False, remedy=remedy)]
    return [Finding("Ray", True, f"{version} at {address}")]


def _kubernetes() -> list[Finding]:
    import yaml

    for path in _kubeconfigs():
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if isinstance(document, dict) and document.get("current-context"):
            return [Finding("Kubernetes", True, f"context {document['current-context']} in {path}")]
    remedy = "no kubeconfig with a current context: get one of your cluster, at ~/.kube/config or in KUBECONFIG"
    return [Finding("Kubernetes", False, remedy=remedy)]


def _kubeconfigs() -> list[Path]:
    named = [name for name in os.environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return [Path(name).expanduser() for name in named or ["~/.kube/config"]]


LOOKS = (_container_engine, _podman, _ssh, _slurm, _ray, _kubernetes)
