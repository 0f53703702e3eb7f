"""What may be said of a Slurm cluster."""

from __future__ import annotations

import os
import re

from toolkit.targets.kind import Kind
from toolkit.targets.settings import COMMON, POLICY, QUEUE, Setting, is_size, is_text, whole

_TIME = re.compile(r"(?:(\d+)-(\d{1,2})(?::(\d{1,2}))?(?::(\d{1,2}))?|(\d+)(?::(\d{1,2}))?(?::(\d{1,2}))?)")
_WORD = re.compile(r"[^\s,;'\"\\]+(,[^\s,;'\"\\]+)*")

# What we say ourselves, and why nobody else may.
OWN_OPTIONS = {
    "--array": "runs are put into arrays by the toolkit",
    "--chdir": "a run has a folder of its own",
    "--clusters": "states are asked of one cluster: make a compute target with `config` for each",
    "--comment": "the toolkit finds its jobs by it",
    "--error": "the run directory keeps the logs",
    "--export": "scripts get the variables of who submits",
    "--export-file": "scripts get the variables of who submits",
    "--get-user-env": "scripts get the variables of who submits",
    "--input": "scripts read nothing",
    "--job-name": "it is the id of the run",
    "--no-requeue": "say it with max_retries: 0",
    "--nodes": "it is node_count of the run",
    "--ntasks": "it is one a node: processes are process_count of the run",
    "--ntasks-per-node": "it is one a node: processes are process_count of the run",
    "--open-mode": "the run directory keeps the logs",
    "--output": "the run directory keeps the logs",
    "--parsable": "the toolkit reads what sbatch says",
    "--requeue": "say it with max_retries",
    "--test-only": "it would submit nothing",
    "--wait": "the toolkit waits itself",
    "--wrap": "the toolkit writes the batch script",
}


def seconds_of(time: str) -> int:
    """Seconds of a time as Slurm takes it: "90" minutes, "30:00", "12:00:00", "2-12", "2-12:30:00".

    Raises:
        ValueError: it is none.
    """
    match = _TIME.fullmatch(time.strip())
    if match is None:
        raise ValueError(f"{time!r} is not a time of Slurm, as in 12:00:00")
    days, *rest = (int(part or 0) for part in match.groups())
    if match[1] is not None:
        return days * 86400 + rest[0] * 3600 + rest[1] * 60 + rest[2]
    if match[7] is not None:
        return rest[3] * 3600 + rest[4] * 60 + rest[5]
    return rest[3] * 60 + rest[4]


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and seconds_of(value) > 0
    except ValueError:
        return False


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None and not value.startswith("-")


def _is_option(value: object) -> bool:
    if not isinstance(value, str) or not re.fullmatch(r"--[a-z][\w-]*(=[^\n\0]*)?", value):
        return False
    return value.partition("=")[0] not in OWN_OPTIONS


def _is_file(value: object) -> bool:
    return isinstance(value, str) and os.path.isabs(value)


SETTINGS = {
    "type": COMMON["type"],
    "gpus": Setting(whole(1), "a whole number, 1 or more: the GPUs of each run, on each of its nodes"),
    "gpu_type": Setting(_is_word, "the type of GPU as the cluster names it, as in a100"),
    **POLICY,
    **QUEUE,
    "partition": Setting(_is_word, "a partition of the cluster, or several with commas"),
    "account": Setting(_is_word, "the account that is charged"),
    "qos": Setting(_is_word, "a quality of service of the cluster"),
    "time": Setting(_is_time, 'the longest that a run may take, as Slurm writes it and in quotes: "12:00:00", "2-00"'),
    "cpus": Setting(whole(1), "a whole number, 1 or more: the CPUs of each run, on each of its nodes"),
    "memory": Setting(is_size, "a size, as in 32g: the memory of each run, on each of its nodes"),
    "constraint": Setting(is_text, "features of nodes, as in a100&nvlink"),
    "options": Setting(
        lambda value: isinstance(value, list) and all(map(_is_option, value)),
        "a list of more options of sbatch, each a text that begins with --, as in --exclusive or --nice=100; not "
        + ", ".join(OWN_OPTIONS),
    ),
    "config": Setting(_is_file, "the path of the cluster's slurm.conf, where it is not the machine's own"),
    "python": Setting(is_text, "the interpreter on the nodes, for environments that bring none"),
}
KIND = Kind(
    "toolkit.targets.slurm.target:SlurmTarget",
    SETTINGS,
    summary="a Slurm cluster whose shared file system has the workspace",
    example={"partition": "gpu", "gpus": 1},
    is_here=False,
    spans_nodes=True,
    check="toolkit.targets.slurm.check:check",
    examine="toolkit.targets.slurm.check:examine",
)
