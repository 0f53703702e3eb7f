"""What tests of images share: requests, builds with their log, and commands in containers."""

from __future__ import annotations

import re
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.environments.build import ensure
from toolkit.environments.key import image_key
from toolkit.environments.request import ImageRequest, Request
from toolkit.environments.spec import EnvironmentSpec
from toolkit.images.engine import connect
from toolkit.images.image import Image


def request(
    engine: str, base: str, channel: Path | None = None, conda: tuple[str, ...] = (), pip: tuple[str, ...] = (),
    **more: Any,
) -> Request:  # fmt: skip
    """A request for an image with packages on a base."""
    channels = (channel.as_uri(),) if channel else ("file:///nonexistent",)
    spec = EnvironmentSpec(channels, conda, pip, **more)
    image = ImageRequest(base)
    return Request(image_key(spec.key(), image), spec, image=image, engine=engine)


@dataclass
class Built:
    """An image that was built, and the log of its build."""

    request: Request
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        image = ensure(self.request, self.lines.append)
        assert isinstance(image, Image)
        self.image = image

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    @property
    def megabytes_sent(self) -> float:
        return sum(float(found) for found in re.findall(r"sending ([\d.]+) MB", self.log))

    def run(self, *words: str, **options: Any) -> str:
        return run(self.request.engine, self.image.id, *words, **options)


def run(engine: str, image: str, *words: str, **options: Any) -> str:
    """What a command in a container of the image says, without a network and as a user that nobody knows."""
    settings: dict[str, Any] = {"user": "4321:4321", "network_mode": "none", "remove": True, **options}
    output = connect(engine).containers.run(image, list(words), stderr=True, **settings)
    return str(output.decode()).strip()


def wheel(folder: Path, name: str, files: dict[str, str], entry_points: str = "") -> str:
    """Make a wheel; its requirement."""
    info = f"{name}-1.0.dist-info"
    content = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    if entry_points:
        content[f"{info}/entry_points.txt"] = f"[console_scripts]\n{entry_points}\n"
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{info}/RECORD"])
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, text in content.items():
            archive.writestr(member, text)
    return f"{name} @ {path.as_uri()}"
