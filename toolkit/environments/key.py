"""The key of an environment: equal keys share one environment. On the way of every submit: standard library only."""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import TYPE_CHECKING

from toolkit.environments import offered
from toolkit.environments.pip_config import index_settings, without_credentials

if TYPE_CHECKING:
    from toolkit.environments.request import ImageRequest
    from toolkit.environments.spec import EnvironmentSpec

BUILDER_VERSION = 1
"""To be raised when the same specification should give another environment than before."""


def spec_key(spec: EnvironmentSpec, gpu: bool = False) -> str:
    """64 hex digits over what decides the content: packages, platform, GPU or not, package source, indexes.

    The name and the variables of an environment are no part of it, nor are the credentials in a URL.
    """
    spec, _ = offered.drop(spec)
    machine = os.uname()
    content = {
        "builder": BUILDER_VERSION,
        "system": machine.sysname,
        "machine": machine.machine,
        "gpu": gpu,
        "channels": [squeezed(channel) for channel in spec.channels],
        "channel_priority": spec.channel_priority,
        "package_source": spec.package_source,
        "conda": sorted(squeezed(entry) for entry in spec.conda),
        "pip": sorted(squeezed(line) for line in spec.pip),
        "constraints": sorted(squeezed(line) for line in spec.constraints),
        "local_files": [_file_state(line) for line in sorted(spec.pip) if "file://" in line],
        "indexes": index_settings(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def lock_key(lock_hash: str) -> str:
    """The key of an environment whose lock was given: it is used as it is, whatever the specification says."""
    return hashlib.sha256(f"{BUILDER_VERSION} lock {lock_hash}".encode()).hexdigest()


def image_key(packages: str, image: ImageRequest) -> str:
    """The key of an image: its base and the key of its packages ("" for a base as it is).

    As in Azure ML SDK v1, a tag stands for what it named when the image was built: to take a newer base, name it by
    another tag or its digest.
    """
    content = {"builder": BUILDER_VERSION, "packages": packages, **image.content()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def squeezed(text: str) -> str:
    """An entry as entries are compared: without needless blanks, and without the credentials in its URL."""
    return without_credentials(re.sub(r"\s+", " ", text.strip())).replace("://***@", "://")


def _file_state(line: str) -> list[int]:
    """Size and time of a wheel that is named by its path: a wheel that was built again is another one."""
    path = line.split("file://", 1)[1].split("#")[0].split()[0]
    try:
        state = os.stat(path)
    except OSError:
        return []
    return [state.st_size, state.st_mtime_ns]
