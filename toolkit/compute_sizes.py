"""The sizes of Azure's virtual machines that scripts name: how many GPUs, cores and how much memory each has.

Source: the tables of sizes in Azure's documentation. Only the GPUs decide anything here.
"""

from __future__ import annotations

import re
from typing import Any

# By size without "Standard_", in capitals: GPUs, cores, memory in GiB. A GPU size that is not here has one GPU.
_SIZES: dict[str, tuple[int, int, float]] = {
    "A2_V2": (0, 2, 4),
    "D1_V2": (0, 1, 3.5),
    "D2_V2": (0, 2, 7),
    "D3_V2": (0, 4, 14),
    "D4_V2": (0, 8, 28),
    "D11_V2": (0, 2, 14),
    "D12_V2": (0, 4, 28),
    "D13_V2": (0, 8, 56),
    "D14_V2": (0, 16, 112),
    "DS1_V2": (0, 1, 3.5),
    "DS2_V2": (0, 2, 7),
    "DS3_V2": (0, 4, 14),
    "DS4_V2": (0, 8, 28),
    "DS5_V2": (0, 16, 56),
    "DS11_V2": (0, 2, 14),
    "DS12_V2": (0, 4, 28),
    "DS13_V2": (0, 8, 56),
    "DS14_V2": (0, 16, 112),
    "D2S_V3": (0, 2, 8),
    "D4S_V3": (0, 4, 16),
    "D8S_V3": (0, 8, 32),
    "E4S_V3": (0, 4, 32),
    "F2S_V2": (0, 2, 4),
    "F4S_V2": (0, 4, 8),
    "F16S_V2": (0, 16, 32),
    "F72S_V2": (0, 72, 144),
    "NC6": (1, 6, 56),
    "NC12": (2, 12, 112),
    "NC24": (4, 24, 224),
    "NC24R": (4, 24, 224),
    "NC6S_V2": (1, 6, 112),
    "NC12S_V2": (2, 12, 224),
    "NC24S_V2": (4, 24, 448),
    "NC24RS_V2": (4, 24, 448),
    "NC6S_V3": (1, 6, 112),
    "NC12S_V3": (2, 12, 224),
    "NC24S_V3": (4, 24, 448),
    "NC24RS_V3": (4, 24, 448),
    "NC4AS_T4_V3": (1, 4, 28),
    "NC8AS_T4_V3": (1, 8, 56),
    "NC16AS_T4_V3": (1, 16, 110),
    "NC64AS_T4_V3": (4, 64, 440),
    "NC24ADS_A100_V4": (1, 24, 220),
    "NC48ADS_A100_V4": (2, 48, 440),
    "NC96ADS_A100_V4": (4, 96, 880),
    "NC40ADS_H100_V5": (1, 40, 320),
    "NC80ADIS_H100_V5": (2, 80, 640),
    "ND6S": (1, 6, 112),
    "ND12S": (2, 12, 224),
    "ND24S": (4, 24, 448),
    "ND24RS": (4, 24, 448),
    "ND40RS_V2": (8, 40, 672),
    "ND96ASR_V4": (8, 96, 900),
    "ND96AMSR_A100_V4": (8, 96, 1900),
    "ND96ISR_H100_V5": (8, 96, 1900),
    "ND96ISR_H200_V5": (8, 96, 1850),
    "NV6": (1, 6, 56),
    "NV12": (2, 12, 112),
    "NV24": (4, 24, 224),
    "NV12S_V3": (1, 12, 112),
    "NV24S_V3": (2, 24, 224),
    "NV48S_V3": (4, 48, 448),
    "NV36ADS_A10_V5": (1, 36, 440),
    "NV72ADS_A10_V5": (2, 72, 880),
}


def gpus_of(vm_size: str) -> int:
    """The GPUs of a size, as in "STANDARD_NC24": 4. A GPU family's size that is not known has one."""
    size = _short(vm_size)
    if size in _SIZES:
        return _SIZES[size][0]
    return 1 if re.match(r"N[CDVPG]\d", size) else 0


def supported() -> list[dict[str, Any]]:
    """The sizes that are known, as Azure ML SDK v1 listed them."""
    return [
        {"name": f"Standard_{name}", "vCPUs": cores, "gpus": gpus, "memoryGB": memory, "maxResourceVolumeMB": None}
        for name, (gpus, cores, memory) in _SIZES.items()
    ]


def _short(vm_size: str) -> str:
    return vm_size.strip().upper().removeprefix("STANDARD_").removeprefix("BASIC_")
