"""What was measured on, and with what."""

from __future__ import annotations

import os
import platform
import subprocess

import psutil

from benchmarks.bench import REPOSITORY


def description() -> str:
    """The machine in a line: cores, processor, memory, system, Python."""
    memory = psutil.virtual_memory().total / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores ({_processor()}), {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}"
    )


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def load() -> float:
    """The load average of the last minute: over 0.5 a core before the start, the figures are noisy."""
    return os.getloadavg()[0]


def commit() -> str:
    """The commit of the toolkit, with a + where something is changed."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty=+"], cwd=REPOSITORY, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return "no commit"
    return answer.stdout.strip()
