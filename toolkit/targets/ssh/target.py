"""The SSH target: runs are processes of another machine, started by a launcher that outlives the connection.

Whatever may take long is done by threads: the agent's own looks at files here, which the host's news is written to.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from toolkit.configuration import WorkspaceConfiguration
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths
from toolkit.targets import launched
from toolkit.targets.base import Handle, Job, NotYet, Phase, Plan
from toolkit.targets.ssh import leftovers, planning
from toolkit.targets.ssh.connection import Address
from toolkit.targets.ssh.errors import HostUnreachable
from toolkit.targets.ssh.host import Host, host_of
from toolkit.targets.ssh.launching import Launching
from toolkit.targets.ssh.mirrored import MirroredRun


class SshTarget:
    """Runs scripts on a host; `slots` of them at once, each with as many of the host's GPUs as the settings say."""

    queues = False
    gpus = 0  # of this machine

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = name
        self.pool = str(settings.get("shares", name))
        self.slots = configuration.slots(name)
        self._gpus = int(settings.get("gpus", 0))
        self._keep = str(settings.get("keep", "failed"))
        self._grace = configuration.cancel_grace_seconds
        self._address = Address.of(settings)
        self._paths = paths

    @property
    def _host(self) -> Host:
        host = host_of(self._address, self._paths)
        host.keep = self._keep
        return host

    def prepare(self, job: Job) -> Plan:
        """The plan of a run, with the paths of the host.

        Raises:
            NotYet: the host was never reached from here, so its paths are not known; it is being connected to.
        """
        host = self._host
        if host.facts is None:
            host.connect_soon()
            if host.trouble is not None:
                raise host.trouble
            raise NotYet(f"connecting to '{host.address.host}'")
        layout = host.facts.layout
        if job.environment["user_managed"]:
            python = str(job.environment["python"])
        else:
            python = f"{layout.prefix(str(job.environment['lock_hash']))}/bin/python"
        return planning.plan(job, layout, python, str(self._paths.wake), self._grace)

    def launch(self, plan: Plan) -> Handle:
        """Have the run brought to its host and started; nothing of that is waited for here.

        Raises:
            NotYet: it is on its way.
            HostUnreachable: the host does not answer.
            HostRefused: somebody has to mend something first.
        """
        host, run = self._host, plan.run
        with suppress(FileNotFoundError):
            os.unlink(run.environ)  # the variables of this machine mean nothing there
        going = host.launching.get(run.root)
        if going is None or (going.done and going.waits_for):
            waits_for = going.waits_for if going is not None else ""
            host.launching[run.root] = Launching(plan, host, self._paths, self._gpus)
            if waits_for:
                raise NotYet(waits_for, others_wait=True)
        elif going.done:
            del host.launching[run.root]
            if going.error is not None:
                raise going.error
            return Handle(run.root, self._root(host, run))
        if isinstance(host.trouble, HostUnreachable):
            raise host.trouble
        raise NotYet(host.launching[run.root].words)

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        host = self._host
        phases = {}
        for handle in handles:
            mirrored = self._mirrored(host, handle)
            phases[handle] = phase = mirrored.phase() if mirrored is not None else Phase.RUNNING
            if phase in (Phase.ENDED, Phase.LOST) and mirrored is not None:
                if phase is Phase.ENDED:
                    host.forget(mirrored.root)
                leftovers.sweep(host, self._paths, leftovers.SETTLED_SECONDS)
        return phases

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        """Have the host end the run; one that does not answer is asked again when it does."""
        host = self._host
        mirrored = self._mirrored(host, handle)
        if mirrored is not None:
            mirrored.cancel(grace)

    def _mirrored(self, host: Host, handle: Handle) -> MirroredRun | None:
        """The run as it is mirrored; None for one of an earlier agent whose host was not reached yet."""
        if not os.path.isabs(handle.engine_id) and host.facts is None:
            host.connect_soon()
            return None
        root = self._root(host, handle.run, handle.engine_id)
        mirrored = host.mirrored(root)
        if mirrored is None:
            mirrored = host.mirror(root, handle.run)
            mirrored.is_watched = True
            mirrored.watch_again()
            host.connect_soon()
        return mirrored

    @staticmethod
    def _root(host: Host, run: RunDirectory, engine_id: str = "") -> str:
        """The folder of a run on the host."""
        if os.path.isabs(engine_id):
            return engine_id
        assert host.facts is not None
        return host.facts.layout.run(run.id)
