"""NVIDIA's management library (NVML) without a GPU: a stand-in that `pynvml` loads like the driver's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

GPU_NAME = "Rig GPU"
GPU_BYTES = 8 << 30
DRIVER_VERSION = "570.00.00"

# The devices can be told apart by UUID. RIG_GPUS says how many there are; RIG_NVML_ERROR makes the start fail with
# this number of an error, as 9 (the driver is not loaded).
_SOURCE = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define SUCCESS 0
#define UNINITIALIZED 1
#define INVALID_ARGUMENT 2
#define INSUFFICIENT_SIZE 7
typedef struct { int index; } device;
typedef struct { unsigned long long total, free, used; } memory;
typedef struct { unsigned int version; unsigned long long total, reserved, free, used; } memory_v2;
typedef struct { unsigned int gpu, memory; } utilization;
static device devices[64];
static int started;

static int number(const char *name, int otherwise) {
    const char *text = getenv(name);
    return text && *text ? atoi(text) : otherwise;
}
static int copy(char *to, unsigned int size, const char *text) {
    if (strlen(text) >= size) return INSUFFICIENT_SIZE;
    strcpy(to, text);
    return SUCCESS;
}
int nvmlInit_v2(void) {
    int error = number("RIG_NVML_ERROR", 0);
    if (error) return error;
    started++;
    return SUCCESS;
}
int nvmlInitWithFlags(unsigned int flags) { return nvmlInit_v2(); }
int nvmlShutdown(void) {
    if (!started) return UNINITIALIZED;
    started--;
    return SUCCESS;
}
const char *nvmlErrorString(int error) {
    static char text[40];
    if (error == 9) return "Driver Not Loaded";
    snprintf(text, sizeof text, "Error %d", error);
    return text;
}
int nvmlDeviceGetCount_v2(unsigned int *count) {
    if (!started) return UNINITIALIZED;
    *count = number("RIG_GPUS", GPUS);
    return SUCCESS;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, device **found) {
    if (!started) return UNINITIALIZED;
    if (index >= (unsigned int)number("RIG_GPUS", GPUS) || index >= 64) return INVALID_ARGUMENT;
    devices[index].index = index;
    *found = &devices[index];
    return SUCCESS;
}
int nvmlDeviceGetUUID(device *one, char *to, unsigned int size) {
    char text[64];
    snprintf(text, sizeof text, "GPU-00000000-0000-0000-0000-%012d", one->index);
    return copy(to, size, text);
}
int nvmlDeviceGetIndex(device *one, unsigned int *index) { *index = one->index; return SUCCESS; }
int nvmlDeviceGetMinorNumber(device *one, unsigned int *number) { *number = one->index; return SUCCESS; }
int nvmlDeviceGetName(device *one, char *to, unsigned int size) { return copy(to, size, NAME); }
int nvmlDeviceGetMemoryInfo(device *one, memory *info) {
    info->total = info->free = BYTES;
    info->used = 0;
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo_v2(device *one, memory_v2 *info) {
    info->total = info->free = BYTES;
    info->reserved = info->used = 0;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(device *one, utilization *rates) {
    rates->gpu = rates->memory = 0;
    return SUCCESS;
}
int nvmlDeviceGetCudaComputeCapability(device *one, int *major, int *minor) {
    *major = 9;
    *minor = 0;
    return SUCCESS;
}
int nvmlSystemGetDriverVersion(char *to, unsigned int size) { return copy(to, size, DRIVER); }
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12080; return SUCCESS; }
int nvmlSystemGetCudaDriverVersion(int *version) { return nvmlSystemGetCudaDriverVersion_v2(version); }
"""


def why_not() -> str:
    """Why it cannot be built on this machine; "" where it can."""
    return "" if shutil.which("cc") else "a C compiler (cc)"


def build(folder: Path, gpus: int = 2) -> Path:
    """Build `libnvidia-ml.so.1` with this many devices in `folder`, which is to go on LD_LIBRARY_PATH. 0.1 s.

    Their UUIDs are those of `uuid(index)`. In the process that loads it, RIG_GPUS changes how many there are, and
    RIG_NVML_ERROR lets the start fail with an NVML error, as "9": the driver is not loaded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = {"GPUS": gpus, "BYTES": f"{GPU_BYTES}ull", "NAME": f'"{GPU_NAME}"', "DRIVER": f'"{DRIVER_VERSION}"'}
    words = [f"-D{name}={value}" for name, value in values.items()]
    command = [
        "cc",
        "-shared",
        "-fPIC",
        "-O1",
        "-Wl,-soname,libnvidia-ml.so.1",
        "-x",
        "c",
        *words,
        "-",
        "-o",
        str(folder / "libnvidia-ml.so.1"),
    ]
    subprocess.run(command, input=_SOURCE, text=True, check=True)
    return folder


def uuid(index: int) -> str:
    """The UUID of a device of the stand-in."""
    return f"GPU-00000000-0000-0000-0000-{index:012d}"
