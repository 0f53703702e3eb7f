"""The GPUs of this machine, as NVIDIA's management library lists them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from toolkit.errors import ComputeTargetException


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a part of one that was cut off as an instance of its own (MIG).

    Args:
        uuid: as in "GPU-5f…" or "MIG-…".
        index: its number in the order of the PCI bus; "" for a MIG instance, which has none.
        name: as in "NVIDIA H200".
        memory: in bytes.
    """

    uuid: str
    index: str
    name: str
    memory: int

    @property
    def visible(self) -> str:
        """What `CUDA_VISIBLE_DEVICES` calls it, with `CUDA_DEVICE_ORDER=PCI_BUS_ID`."""
        return self.index or self.uuid


def find() -> list[Gpu]:
    """The GPUs that this process may use: all of them, or those that `CUDA_VISIBLE_DEVICES` names.

    Raises:
        ComputeTargetException: NVIDIA's driver is missing or does not answer.
    """
    with _library() as nvml:
        handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(nvml.nvmlDeviceGetCount())]
        found = [gpu for index, handle in enumerate(handles) for gpu in _parts(nvml, index, handle)]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return found
    names = [name.strip() for name in allowed.split(",")]
    return [gpu for gpu in found if any(name and (name == gpu.index or gpu.uuid.startswith(name)) for name in names)]


def require(target: str, count: int) -> list[Gpu]:
    """The GPUs of this machine, where there are at least `count` of them.

    Raises:
        ComputeTargetException: there are not; the message says why and what to do.
    """
    try:
        found, why = find(), ""
    except ComputeTargetException as error:
        found, why = [], f": {error}"
    if len(found) >= count:
        return found
    if found:
        raise ComputeTargetException(
            f"compute target '{target}' gives each run {count} GPUs and this machine has {len(found)}; "
            "lower its `gpus` in the workspace's configuration"
        )
    raise ComputeTargetException(
        f"compute target '{target}' needs a GPU and this machine has none{why}. "
        'Use the CPU, with compute_target="local" or "cpu-cluster", or submit on a machine with an NVIDIA GPU'
    )


@contextmanager
def _library() -> Iterator[Any]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise ComputeTargetException(f"NVIDIA's driver does not answer ({error})") from error
    try:
        yield pynvml
    except pynvml.NVMLError as error:
        raise ComputeTargetException(f"NVIDIA's driver failed to list the GPUs ({error})") from error
    finally:
        pynvml.nvmlShutdown()


def _parts(nvml: Any, index: int, handle: Any) -> list[Gpu]:
    """A GPU as it is, or the instances that it is cut into."""
    try:
        divided = nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE
    except nvml.NVMLError:  # a GPU or a driver without MIG
        divided = False
    if not divided:
        return [_gpu(nvml, handle, str(index))]
    return [_gpu(nvml, instance, "") for instance in _instances(nvml, handle)]


def _instances(nvml: Any, handle: Any) -> Iterator[Any]:
    for position in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
        try:
            yield nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, position)
        except nvml.NVMLError_NotFound:
            continue


def _gpu(nvml: Any, handle: Any, index: str) -> Gpu:
    memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    return Gpu(_text(nvml.nvmlDeviceGetUUID(handle)), index, _text(nvml.nvmlDeviceGetName(handle)), memory)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
