"""A Slurm cluster on this machine: munged, slurmctld and a slurmd for each node, all in a folder of their own.

Ports are free ones, the munge key and its socket are the cluster's own: several clusters live beside each other. There
is no accounting (no slurmdbd), as on many small clusters. It needs root, as slurmd does.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "sinfo")
_SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_START_SECONDS = 30.0
_GPU_DEVICE = (195, 200)  # of character devices that stand for GPUs: Slurm counts them, nobody opens them

_CONFIGURATION = """\
ClusterName=rig
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,batch_sched_delay=0,sched_min_interval=0,bf_interval=1,requeue_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
KillWait={kill_wait}
MinJobAge={remember}
SlurmdTimeout=10
GresTypes=gpu
MaxArraySize=10001
MaxJobCount=20000
"""


@dataclass
class Slurm:
    """A cluster that runs.

    Attributes:
        configuration: its slurm.conf, what SLURM_CONF names.
        nodes: the names of its nodes; each has 4 CPUs, 8 GB and 2 GPUs.
    """

    folder: Path
    nodes: Sequence[str]
    _daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def configuration(self) -> Path:
        return self.folder / "slurm.conf"

    def call(self, *command: str) -> str:
        """What a program of Slurm says, as in `call("squeue", "-h")`."""
        environment = {**os.environ, "SLURM_CONF": str(self.configuration), "PATH": _SBIN}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        if result.returncode:
            raise RuntimeError(f"{' '.join(command)}: {result.stderr.strip()}")
        return result.stdout.strip()

    def start_controller(self) -> None:
        self._start("slurmctld", ["slurmctld", "-D", "-f", str(self.configuration)])

    def stop_controller(self) -> None:
        """End the controller: what runs on the nodes goes on."""
        self.stop("slurmctld")

    def start_node(self, node: str) -> None:
        self._start(node, ["slurmd", "-D", "-N", node, "-f", str(self.configuration)])

    def wait_of(self, job: str) -> float:
        """The seconds between taking a job and starting it on its node; of a cluster that notes them."""
        taken = self.folder / "state" / f"hash.{int(job) % 10}" / f"job.{job}" / "script"
        return (self.folder / "starts" / job).stat().st_mtime - taken.stat().st_mtime

    def stop(self, daemon: str) -> None:
        """End a daemon: a node by its name, "slurmctld" or "munged"."""
        process = self._daemons.pop(daemon)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def start(self) -> None:
        """All daemons; returns when the nodes are idle. About a second."""
        munge = self.folder / "munge"
        self._start("munged", [
            "munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
            f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed",
        ])  # fmt: skip
        _wait(lambda: (munge / "socket").exists(), "munged", munge / "log")
        self.start_controller()
        for node in self.nodes:
            self.start_node(node)
        self.wait_idle()

    def wait_idle(self) -> None:
        _wait(self._is_idle, "the cluster", self.folder / "slurmctld.log")

    def _is_idle(self) -> bool:
        try:
            return self.call("sinfo", "-h", "-N", "-o", "%N %T", "-p", "main").split().count("idle") == len(self.nodes)
        except RuntimeError:
            return False

    def end(self) -> None:
        """End the jobs, then the daemons, then whatever a job has left."""
        with suppress(RuntimeError, subprocess.TimeoutExpired):
            self.call("scancel", "--signal=KILL", "--full", "--user=root")
            self.call("scancel", "--user=root")
        for daemon in [*self._daemons]:
            self.stop(daemon)
        steps = [one for one in psutil.process_iter(["cmdline", "name"]) if self._is_step(one)]
        for process in steps:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(steps, timeout=10)

    def _is_step(self, process: psutil.Process) -> bool:
        """Whether a process is a slurmstepd of this cluster: its environment has our configuration."""
        if not process.info["name"].startswith("slurmstepd"):
            return False
        with suppress(psutil.Error):
            return str(self.folder) in "\n".join([*process.environ().values(), *process.cmdline()])
        return False

    def _start(self, name: str, command: list[str]) -> None:
        environment = {**os.environ, "PATH": _SBIN}
        with (self.folder / f"{name}.out").open("ab") as output:  # a daemon that holds our pipe would never let go
            self._daemons[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )


def why_not() -> str:
    """Why no cluster can be started on this machine; "" where one can."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=_SBIN) is None]
    if missing:
        return f"{', '.join(missing)} (apt install slurm-wlm munge)"
    return "" if os.geteuid() == 0 else "root, to start slurmd"


@contextmanager
def cluster(
    nodes: Sequence[str] = ("one", "two"), kill_wait: int = 5, remember: int = 300, notes_starts: bool = False
) -> Iterator[Slurm]:
    """A cluster with the partitions `main` and `urgent`, whose jobs pre-empt those of `main`.

    Args:
        kill_wait: seconds between the TERM and the KILL of a job whose time is over.
        remember: for how many seconds the controller knows of a job that has ended.
        notes_starts: whether nodes note when they start a job, by a prolog, for `wait_of`.
    """
    folder = Path(tempfile.mkdtemp(prefix="slurm-", dir=os.environ.get("TMPDIR", "/tmp")))
    made = Slurm(folder, nodes)
    try:
        _configure(made, kill_wait, remember)
        if notes_starts:
            _note_starts(made)
        made.start()
        yield made
    finally:
        made.end()
        shutil.rmtree(folder, ignore_errors=True)


def _configure(slurm: Slurm, kill_wait: int, remember: int) -> None:
    folder = slurm.folder
    folder.chmod(0o755)
    (folder / "state").mkdir()
    (folder / "munge").mkdir(mode=0o755)
    key = folder / "munge" / "key"
    key.touch(0o400)
    key.write_bytes(os.urandom(128))
    ports = _free_ports(len(slurm.nodes) + 1)
    lines = [
        _CONFIGURATION.format(
            host=socket.gethostname(), port=ports[0], folder=folder, kill_wait=kill_wait, remember=max(remember, 2)
        )
    ]
    for node, port in zip(slurm.nodes, ports[1:], strict=True):
        lines.append(
            f"NodeName={node} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port} CPUs=4 "
            "RealMemory=8000 Gres=gpu:2\n"
        )
    everything = f"Nodes={','.join(slurm.nodes)} State=UP DefMemPerCPU=100 MaxTime=INFINITE"
    lines.append(f"PartitionName=main {everything} Default=YES PriorityTier=1\n")
    lines.append(f"PartitionName=urgent {everything} PriorityTier=10\n")
    slurm.configuration.write_text("".join(lines))
    (folder / "gres.conf").write_text(f"NodeName={','.join(slurm.nodes)} Name=gpu File={_fake_gpus(folder)}\n")
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\n")


def _note_starts(slurm: Slurm) -> None:
    starts, prolog = slurm.folder / "starts", slurm.folder / "prolog"
    starts.mkdir()
    prolog.write_text(f"#!/bin/sh\n: > {starts}/$SLURM_JOB_ID\n")
    prolog.chmod(0o755)
    with slurm.configuration.open("a") as file:
        file.write(f"Prolog={prolog}\n")


def _fake_gpus(folder: Path) -> str:
    """Two character devices, as Slurm wants the files of its GPUs to be."""
    major, minor = _GPU_DEVICE
    for index in range(2):
        os.mknod(folder / f"gpu{index}", 0o20600, os.makedev(major, minor + index))
    return f"{folder}/gpu[0-1]"


def _free_ports(count: int) -> list[int]:
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def _wait(true: object, what: str, log: Path) -> None:
    assert callable(true)
    deadline = time.monotonic() + _START_SECONDS
    while not true():
        if time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-3000:] if log.exists() else "it wrote nothing"
            raise RuntimeError(f"{what} did not come up within {_START_SECONDS:.0f} s: {said}")
        time.sleep(0.02)
