"""The Dockerfiles that a user would write for the same packages, each as their installer's own guide has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_HEAD = "FROM {base}\nARG PIP_INDEX_URL UV_DEFAULT_INDEX\n"
_COPY = "COPY requirements.txt /tmp/requirements.txt\n"
_PIP_CACHE = "--mount=type=cache,id=toolkit-benchmark-pip,target=/root/.cache/pip "
_UV_CACHE = "--mount=type=cache,id=toolkit-benchmark-uv,target=/root/.cache/uv "
_CONDA_CACHE = "--mount=type=cache,id=toolkit-benchmark-conda,target=/root/.cache/conda "


@dataclass(frozen=True)
class Peer:
    """A way to build an image with `docker build`.

    Attributes:
        name: as the lines name it.
        tag: in the image's name.
        buildkit: whether BuildKit builds it, else the classic builder.
        recipe: the Dockerfile.
        python: the interpreter in the image.
        bytecode: what of it there is in the image.
    """

    name: str
    tag: str
    buildkit: bool
    recipe: str
    python: str = "python3"
    bytecode: str = "with bytecode"

    def write(self, folder: Path, base: str, requirements: Sequence[str], channel: str = "") -> None:
        """Write the build's context."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_text(self.recipe.replace("{base}", base))
        (folder / "requirements.txt").write_text("".join(f"{one}\n" for one in requirements))
        if channel:
            (folder / "environment.yml").write_text(conda_file(requirements, channel))


PIP = Peer(
    "BuildKit, pip", "pip", True,
    f"{_HEAD}{_COPY}RUN {_PIP_CACHE}python3 -m pip install -r /tmp/requirements.txt\n",
)  # fmt: skip
UV = Peer(
    "BuildKit, uv", "uv", True,
    f"{_HEAD}ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy\n{_COPY}"
    f"RUN {_UV_CACHE}uv pip install -r /tmp/requirements.txt\n",
)  # fmt: skip
UV_BARE = Peer(
    "BuildKit, uv, no bytecode", "uv-bare", True,
    f"{_HEAD}ENV UV_LINK_MODE=copy\n{_COPY}RUN {_UV_CACHE}uv pip install -r /tmp/requirements.txt\n",
    bytecode="without bytecode",
)  # fmt: skip
CLASSIC_PIP = Peer(
    "classic builder, pip", "classic-pip", False,
    f"{_HEAD}{_COPY}RUN python3 -m pip install --no-cache-dir -r /tmp/requirements.txt\n",
)  # fmt: skip
CLASSIC_UV = Peer(
    "classic builder, uv", "classic-uv", False,
    f"{_HEAD}ENV UV_COMPILE_BYTECODE=1\n{_COPY}RUN uv pip install --no-cache -r /tmp/requirements.txt\n",
)  # fmt: skip
_CREATE = "python3 /usr/local/bin/conda_create.py /tmp/environment.yml /opt/env"
CONDA = Peer(
    "BuildKit, conda specification", "conda", True,
    f"{_HEAD}COPY environment.yml /tmp/environment.yml\nRUN {_CONDA_CACHE}{_PIP_CACHE}{_CREATE}\n",
    python="/opt/env/bin/python",
    bytecode="with bytecode of the pip packages alone",
)  # fmt: skip
CLASSIC_CONDA = Peer(
    "classic builder, conda specification", "classic-conda", False,
    f"{_HEAD}COPY environment.yml /tmp/environment.yml\n"
    f"RUN {_CREATE} && rm -rf /root/.cache\n",
    python="/opt/env/bin/python",
    bytecode="with bytecode of the pip packages alone",
)  # fmt: skip


def conda_file(requirements: Sequence[str], channel: str) -> str:
    """The same packages as a conda specification: numpy by conda, the others by pip."""
    wheels = "".join(f"      - {one}\n" for one in requirements if one != "numpy")
    return f"channels:\n  - {channel}\ndependencies:\n  - python\n  - numpy\n  - pip\n  - pip:\n{wheels}"
