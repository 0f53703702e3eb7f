"""Where packages and images come from: asked once, each in its own tool's way."""

from __future__ import annotations

import tempfile
from pathlib import Path

from toolkit.doctor.finding import Finding
from toolkit.environments import channels, uv
from toolkit.environments.request import DEFAULT_BASE_IMAGE
from toolkit.errors import ToolkitError
from toolkit.images import engine

SECONDS = 8.0
_CHANNEL = "conda-forge"


def _package_index() -> list[Finding]:
    remedy = "uv reaches no package index: set index-url in pip's configuration, or UV_DEFAULT_INDEX"
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.in")
        wanted.write_text("packaging\n")
        words = ["--no-cache", "--no-deps", str(wanted)]
        try:
            found = uv.pip("compile", words, lambda line: None, Path(folder), show=False, seconds=SECONDS).code == 0
        except (ToolkitError, OSError):
            found = False
    return [Finding("package index", found, "uv resolves from it", remedy)]


def _conda_channel() -> list[Finding]:
    (answer,) = channels.probe((_CHANNEL,), SECONDS)
    remedy = f"{answer.reason}: conda packages are taken from the package index where they have a name there"
    return [Finding(f"channel {_CHANNEL}", not answer.reason, "answers", remedy)]


def _image_registry() -> list[Finding]:
    what = f"image {DEFAULT_BASE_IMAGE}"
    try:
        address = engine.address()
        client = engine.connect(address, SECONDS)
        with engine.engine_errors(address, "the registry does not answer"):
            if any(DEFAULT_BASE_IMAGE in image.tags for image in client.images.list()):
                return [Finding(what, True, "in the container engine")]
            client.images.get_registry_data(DEFAULT_BASE_IMAGE)
    except (ToolkitError, OSError) as error:
        remedy = f"{str(error).splitlines()[0][:120]}: name a base image that is reached, with base_image of the target"
        return [Finding(what, False, remedy=remedy)]
    return [Finding(what, True, "its registry answers")]


LOOKS = (_package_index, _conda_channel, _image_registry)
