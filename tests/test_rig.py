"""The rig's own parts: what the other tests take for granted."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import docker
import pytest
from docker.types import Mount

from tests.conftest import needs
from tests.rig import base_image, conda_channel, conda_python, engines, nvml
from tests.rig.registry import Registry

MODULES = "ssl, sqlite3, ctypes, lzma, bz2, zlib, hashlib, multiprocessing, readline, uuid, curses, decimal"


@pytest.fixture
def client(engine: str) -> docker.DockerClient:
    made = docker.DockerClient(base_url=engine)
    yield made
    made.close()


def _link(channel: Path, names: list[str], prefix: Path, folder: Path) -> None:
    """Solve for packages of the channel and link them, as if `prefix` were /opt/conda."""
    from rattler import Channel, Gateway, Subdir, install, solve

    async def run() -> None:
        records = await solve(
            [Channel(channel.as_uri())], names, gateway=Gateway(cache_dir=folder / "repodata"),
            platforms=[Subdir.current(), Subdir("noarch")],
        )  # fmt: skip
        await install(
            records, target_prefix=prefix, alternative_target_prefix="/opt/conda", cache_dir=folder / "packages",
            execute_link_scripts=False, show_progress=False,
        )  # fmt: skip

    asyncio.run(run())


def test_the_channel_s_python_works_in_a_slim_container(
    client: docker.DockerClient, base_image: str, channel: Path, tmp_path: Path
) -> None:
    prefix = tmp_path / "prefix"
    _link(channel, ["python", "numpy", "pip", "farewell", "colours", "bulk"], prefix, tmp_path)
    code = (
        f"import {MODULES}, numpy, pip, greeting, farewell\n"
        "assert (numpy.ones((3, 3)) @ numpy.ones(3)).sum() == 9\n"
        "assert multiprocessing.get_context('spawn').Pool(1).map(abs, [-1]) == [1]\n"
        "import sys; print(sys.version.split()[0], sys.prefix, ssl.OPENSSL_VERSION.split()[0])"
    )
    mount = Mount("/opt/conda", str(prefix), type="bind", read_only=True)
    answer = client.containers.run(
        base_image, ["/opt/conda/bin/python", "-c", code], mounts=[mount], network_mode="none", remove=True
    )
    assert answer.decode().split() == [conda_python.VERSION, "/opt/conda", "OpenSSL"]
    assert (prefix / "share/colours.txt").read_text() == "/opt/conda/share/colours\n"
    assert (prefix / "share/bulk.bin").stat().st_size == conda_channel.BULK_BYTES


def test_the_same_channel_again(channel: Path, tmp_path: Path) -> None:
    again = conda_channel.make(tmp_path / "again")
    assert (again / "noarch/repodata.json").read_bytes() == (channel / "noarch/repodata.json").read_bytes()


def test_an_image_through_a_private_registry(
    client: docker.DockerClient, musl_base_image: str, private_registry: Registry
) -> None:
    name = f"{private_registry.address}/rig/musl"
    client.images.get(musl_base_image).tag(name)
    refused = client.images.push(name)
    assert "no basic auth credentials" in refused
    credentials = {"username": private_registry.username, "password": private_registry.password}
    assert "sha256:" in client.images.push(name, auth_config=credentials)
    client.images.remove(name)
    assert client.images.pull(name, auth_config=credentials).tags
    assert any(line.startswith("PUT /v2/rig/musl/manifests/") for line in private_registry.requests)


def test_bases(client: docker.DockerClient, python_base_image: str, musl_base_image: str) -> None:
    code = f"import {MODULES}, sys; print(sys.executable)"
    answer = client.containers.run(python_base_image, ["python3", "-c", code], network_mode="none", remove=True)
    assert answer == b"/usr/bin/python3\n"
    answer = client.containers.run(musl_base_image, "ls /lib", network_mode="none", remove=True)
    assert b"ld-musl" in answer


@pytest.mark.parametrize("kind", engines.KINDS)
def test_engines_of_other_kinds(kind: str) -> None:
    needs(not engines.why_not(kind), engines.why_not(kind))
    with engines.start(kind) as address:
        image = base_image.ensure(address, base_image.MUSL)
        client = docker.DockerClient(base_url=address)
        try:
            assert client.containers.run(image, ["echo", "hello"], network_mode="none", remove=True) == b"hello\n"
        finally:
            client.close()
    assert not Path(address.removeprefix("unix://")).parent.exists()


SEE_GPUS = """
import pynvml
pynvml.nvmlInit()
for index in range(pynvml.nvmlDeviceGetCount()):
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    assert pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).total == memory
    print(pynvml.nvmlDeviceGetUUID(handle), pynvml.nvmlDeviceGetName(handle), memory)
print(pynvml.nvmlSystemGetDriverVersion())
pynvml.nvmlShutdown()
"""


def test_pynvml_sees_the_stand_in_s_devices(tmp_path: Path) -> None:
    needs(not nvml.why_not(), nvml.why_not())
    environment = {"LD_LIBRARY_PATH": str(nvml.build(tmp_path / "nvml"))}
    command = [sys.executable, "-c", SEE_GPUS]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    expected = [f"{nvml.uuid(index)} {nvml.GPU_NAME} {nvml.GPU_BYTES}" for index in range(2)]
    assert done.stdout.splitlines() == [*expected, nvml.DRIVER_VERSION], done.stderr

    done = subprocess.run(command, env={**environment, "RIG_NVML_ERROR": "9"}, capture_output=True, text=True)
    assert "NVMLError_DriverNotLoaded: Driver Not Loaded" in done.stderr
