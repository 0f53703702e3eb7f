"""Base images of the benchmarks, which nothing else builds on: Debian's Python with pip and uv, as official ones."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.images.engine import NAME, Engine
from tests.rig import base_image, pypi
from toolkit.environments import uv

_CONDA_CREATE = Path(__file__).with_name("conda_create.py")
_PYTHON = f"""\
FROM {base_image.PYTHON.reference}
COPY uv /usr/local/bin/uv
COPY packages /tmp/packages
ENV PIP_BREAK_SYSTEM_PACKAGES=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \\
    UV_SYSTEM_PYTHON=1 UV_BREAK_SYSTEM_PACKAGES=1
RUN folder=$(python3 -c 'import site; print(site.getsitepackages()[0])') && mkdir -p "$folder" \\
    && mv /tmp/packages/* "$folder" && rm -rf /tmp/packages && python3 -m compileall -q /usr/lib/python3* "$folder"
"""


def python(engine: Engine, folder: Path, *more: str) -> str:
    """A base with Debian's python3, its bytecode, pip and uv, and `more` packages; its reference."""
    base_image.ensure(engine.address, base_image.PYTHON)
    name = f"{NAME}/base-python" + "".join(f"-{one}" for one in more)
    context = folder / name.replace("/", "-")
    context.mkdir()
    shutil.copy(uv.executable(), context / "uv")
    pypi.pip("install", "--link-mode", "copy", "--target", str(context / "packages"), "pip", *more)
    (context / "Dockerfile").write_text(_PYTHON)
    engine.build(context, name, with_buildkit=False, arguments={})
    shutil.rmtree(context)
    return name


def conda(engine: Engine, folder: Path) -> str:
    """The base of the peer's conda environments: `conda_create.py` in it, as micromamba is in its own image."""
    below = python(engine, folder, "py-rattler", "pyyaml")
    name, context = f"{NAME}/base-conda", folder / "base-conda"
    context.mkdir()
    shutil.copy(_CONDA_CREATE, context)
    (context / "Dockerfile").write_text(f"FROM {below}\nCOPY conda_create.py /usr/local/bin/conda_create.py\n")
    engine.build(context, name, with_buildkit=False, arguments={})
    return name


def slim(engine: Engine, folder: Path) -> str:
    """A base without a Python."""
    base_image.ensure(engine.address, base_image.SLIM)
    name = f"{NAME}/base-slim"
    context = folder / "slim"
    context.mkdir()
    (context / "benchmark").write_text(str(context))  # layers of its own
    (context / "Dockerfile").write_text(f"FROM {base_image.SLIM.reference}\nCOPY benchmark /etc/benchmark\n")
    engine.build(context, name, with_buildkit=False, arguments={})
    return name


def python_version(engine: Engine, base: str) -> str:
    """The version of the Python of a base, as in "3.11"."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return engine.docker("run", "--rm", "--network=none", base, "python3", "-c", code).strip()
