"""The Docker target: runs are containers of an engine on this machine, started with the launcher as their command.

The run directory, the snapshots and the in-script side are mounted under the paths that they have here, so every file
of a run is where it would be for a local one, and what can be read from the run directory is read from there. The
engine is asked for what only it knows: how a container ended that left no exit record.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import re
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from toolkit import gpus
from toolkit.configuration import WorkspaceConfiguration
from toolkit.errors import ContainerEngineError, ContainerEngineUnreachable
from toolkit.images import engine
from toolkit.inscript import attempts, logged_run
from toolkit.inscript.files import claim_json, read_json
from toolkit.inscript.launching import last_words
from toolkit.inscript.rundir import RunDirectory
from toolkit.paths import WorkspacePaths, home
from toolkit.targets import data, docker_options, launched
from toolkit.targets.base import Handle, Job, LaunchError, Phase, Plan
from toolkit.targets.mount import inscript_folder, launcher_command
from toolkit.targets.planning import plan_of, python_in_image

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

RUN_LABEL = "toolkit.run"
WORKSPACE_LABEL = "toolkit.workspace"
_ANSWER_SECONDS = 10  # for a question: an engine that hangs must not hold up the runs of other targets for long
_REMOVE_ATTEMPTS, _REMOVE_SECONDS = 20, 0.5
_ENDED = ("exited", "dead", "removing")


class DockerTarget:
    """Runs scripts in containers; `slots` of them at once, each with `gpus` GPUs of its own."""

    queues = False

    def __init__(
        self, name: str, settings: dict[str, Any], configuration: WorkspaceConfiguration, paths: WorkspacePaths
    ) -> None:
        self.name = name
        self.pool = str(settings.get("shares", name))
        self.slots = configuration.slots(name)
        self.gpus = int(settings.get("gpus", 0))
        self._settings = settings
        self._grace = configuration.cancel_grace_seconds
        self._paths = paths
        self._remover = ThreadPoolExecutor(max_workers=1, thread_name_prefix="remove-containers")
        self._removed: set[str] = set()
        self._swept: set[str] = set()

    def prepare(self, job: Job) -> Plan:
        """The plan of a run: what the engine is asked for, and the command that the launcher starts in there."""
        python = str(job.environment["python"])
        plan = plan_of(job, "docker", python_in_image(job, python), self._paths, self._grace)
        plan.environment["USER"] = plan.environment["LOGNAME"] = _user_name()
        if os.getuid() != 0:
            plan.environment["HOME"] = "/tmp"  # the image knows no home of this user
        return replace(plan, container=self._container(job, python))

    def _container(self, job: Job, python: str) -> dict[str, Any]:
        """What the engine is asked for, as `containers.create` takes it."""
        run = job.run
        asked = docker_options.of(self._settings, job.definition["environment"].get("docker") or {})
        folders = {run.root: "rw", str(self._paths.snapshots): "ro", str(inscript_folder()): "ro"}
        folders[str(self._paths.wake)] = "rw"
        folders[str(home().data)] = "rw"
        if job.variables.get("MLFLOW_TRACKING_URI", "").startswith("sqlite:"):
            folders[str(self._paths.mlflow)] = "rw"
        ancestors = logged_run.ancestors(run).values()  # a script may log to them
        folders.update({one.root: "rw" for one in ancestors if os.path.isdir(one.root)})
        folders = data.with_folders(folders, run, job.definition)
        own = [{"source": path, "target": path, "read_only": mode == "ro"} for path, mode in folders.items()]
        return {
            "engine": job.definition["environment"]["engine"],
            "name": container_name(run),
            "image": job.environment["image"],
            "entrypoint": [],
            "command": launcher_command(python, run.root, run.control_log),
            "working_dir": run.root,
            "user": f"{os.getuid()}:{os.getgid()}",
            "labels": {RUN_LABEL: run.root, WORKSPACE_LABEL: str(self._paths.root)},
            "security_opt": ["label=disable"],  # SELinux would keep the mounted folders from the container
            **asked,
            "mounts": [*own, *asked.get("mounts", [])],
            "gpus": [gpu.uuid for gpu in job.gpus] or asked.get("gpus", []),
        }

    def launch(self, plan: Plan) -> Handle:
        """Have the engine start the container. One that is there already, from an agent that was ended, goes on."""
        if not plan.container["command"][0]:
            raise LaunchError(
                f"the image {plan.container['image']} has no Python, and the launcher of a run needs one (3.6 or "
                "later): use an image that has `python3`, or give the environment packages, which bring their own"
            )
        home().data.mkdir(parents=True, exist_ok=True)
        for folder in self._paths.shared.shared:
            os.makedirs(folder, 0o700, exist_ok=True)
        address = plan.container["engine"]
        client = engine.connect(address)
        self._sweep(address)
        try:
            with engine.engine_errors(address, "the container engine refused the run's container"):
                container = _find(client, plan.run) or self._create(client, plan)
                if container.status == "created":
                    _start(container)
        except ContainerEngineUnreachable:
            raise
        except ContainerEngineError as error:
            raise LaunchError(_explain(str(error), plan)) from error
        return Handle(plan.run.root, container_name(plan.run))

    def _create(self, client: DockerClient, plan: Plan) -> Container:
        from docker.errors import APIError, ImageNotFound

        asked = {key: value for key, value in plan.container.items() if key != "engine"}
        wanted = docker_options.as_docker_takes(asked, _security(plan.container["engine"]))
        try:
            return client.containers.create(**wanted)
        except ImageNotFound as error:
            raise LaunchError(
                f"the image {plan.container['image']} was removed from the engine since the run was prepared: "
                "submit again, and it is made anew"
            ) from error
        except APIError as error:
            if "init binary not found" not in str(error):
                raise
            return client.containers.create(**{**wanted, "init": False})  # Podman without catatonit

    def poll(self, handles: Iterable[Handle]) -> dict[Handle, Phase]:
        phases = {handle: launched.phase(handle.run) for handle in handles}
        for handle, phase in phases.items():
            if phase is Phase.LOST:
                phases[handle] = phase = self._ask_engine(handle)
            if phase is Phase.ENDED:
                self._remove_later(container_name(handle.run), _engine_of(handle.run))
        return phases

    def _ask_engine(self, handle: Handle) -> Phase:
        """The phase of a run whose launcher does not live: it is not there yet, or its container says how it ended."""
        run = handle.run
        try:
            address = _engine_of(run)
            with engine.engine_errors(address, "the container cannot be looked at"):
                container = _find(engine.connect(address, _ANSWER_SECONDS), run)
        except ContainerEngineError:
            return Phase.SILENT  # the engine is away or busy: it may know more later
        if launched.phase(run) is not Phase.LOST:  # it came, or ended, while the engine was asked
            return launched.phase(run)
        if container is None:
            return Phase.LOST
        if container.status not in _ENDED:
            return Phase.WAITING
        claim_json(run.exit, _exit_record(container.attrs["State"], run))
        return Phase.ENDED

    def logs(self, handle: Handle, offset: int) -> bytes:
        return launched.read_log(handle.run, offset)

    def cancel(self, handle: Handle, grace: float) -> None:
        from docker.errors import APIError

        address = _engine_of(handle.run)
        with engine.engine_errors(address, "the container cannot be ended"):
            container = _find(engine.connect(address, _ANSWER_SECONDS), handle.run)
            if container is None:
                return
            try:
                if container.status == "paused":
                    container.unpause()
                if grace > 0 and launched.lives(handle.run):
                    container.kill("SIGTERM")  # the launcher ends the script and records it
                elif container.status not in _ENDED:
                    container.kill("SIGKILL")
            except APIError as error:
                if error.status_code not in (404, 409):  # it ended meanwhile
                    raise

    def _remove_later(self, name: str, address: str) -> None:
        """Remove the container of a run that ended, beside everything else."""
        if name not in self._removed:
            self._removed.add(name)
            self._remover.submit(self._remove, name, address)

    def _remove(self, name: str, address: str) -> None:
        from docker.errors import NotFound

        for _ in range(_REMOVE_ATTEMPTS):
            try:
                with engine.engine_errors(address, "the container cannot be removed"), suppress(NotFound):
                    engine.connect(address).api.remove_container(name, v=True, force=True)
                return
            except ContainerEngineError:  # it is just ending, or the engine is away for a moment
                time.sleep(_REMOVE_SECONDS)
        self._removed.discard(name)  # whoever launches next tries again
        self._swept.discard(address)

    def _sweep(self, address: str) -> None:
        """Once an engine: remove what an agent that was ended has left of runs that are over."""
        if address in self._swept:
            return
        self._swept.add(address)
        ours = {"label": f"{WORKSPACE_LABEL}={self._paths.root}"}
        with engine.engine_errors(address, "the containers cannot be listed"):
            listed = engine.connect(address).api.containers(all=True, filters=ours)
        for container in listed:
            run = RunDirectory(container["Labels"][RUN_LABEL])
            name = container["Names"][0].lstrip("/")
            if not os.path.exists(run.definition) or os.path.exists(run.exit) or name != container_name(run):
                self._remove_later(name, address)


def examine(name: str, settings: dict[str, Any]) -> str:
    """For `toolkit doctor`: the engine that its runs would be given to.

    Raises:
        ComputeTargetException: this machine has fewer GPUs than each run is given.
        ContainerEngineUnreachable: the engine does not answer, and what to do.
    """
    if settings.get("gpus"):
        gpus.require(name, int(settings["gpus"]))
    address = engine.address(str(settings.get("engine") or ""))
    engine.ping(address)
    return address


def container_name(run: RunDirectory) -> str:
    """The name of a run's container: one an attempt, readable, and made of what Docker allows."""
    attempt = f"#{attempts.count(run)}" if attempts.count(run) else ""
    digest = hashlib.sha256((run.root + attempt).encode()).hexdigest()[:12]
    return f"toolkit-{re.sub(r'[^A-Za-z0-9_.-]+', '-', run.id)[:80]}-{digest}"


def _find(client: DockerClient, run: RunDirectory) -> Container | None:
    from docker.errors import NotFound

    try:
        return client.containers.get(container_name(run))
    except NotFound:
        return None


def _start(container: Container) -> None:
    """Start a container; one that cannot be started does not stay."""
    try:
        container.start()
    except Exception:
        container.remove(force=True)
        raise


def _engine_of(run: RunDirectory) -> str:
    """The address of the engine that has a run's container: the one that was there when it was submitted."""
    return str(read_json(run.definition)["environment"]["engine"])


@lru_cache(maxsize=8)
def _security(address: str) -> tuple[str, ...]:
    """The security options of an engine, as in "name=rootless"."""
    return tuple(map(str, engine.connect(address).info().get("SecurityOptions") or ()))


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return str(os.getuid())


def _explain(error: str, plan: Plan) -> str:
    """What a refusal comes to in a user's words, or the engine's own where those say it best."""
    if "could not select device driver" in error or "nvidia-container" in error:
        return (
            "the container engine cannot give GPUs to containers. Install the NVIDIA Container Toolkit, run "
            "`sudo nvidia-ctk runtime configure --runtime=docker` and restart the engine; "
            f"it said: {error}"
        )
    if "executable file not found" in error or "no such file or directory: unknown" in error:
        return f"the image {plan.container['image']} has no {plan.container['command'][0]}, which should start the run"
    if "no space left on device" in error:
        return f"the container engine's disk is full: free some space, as with `docker system prune`; it said: {error}"
    return error


def _exit_record(state: dict[str, Any], run: RunDirectory) -> dict[str, Any]:
    """The exit record of a container whose launcher could leave none."""
    if state.get("OOMKilled"):
        return {"reason": "out_of_memory", "code": None, "signal": "SIGKILL", "time": time.time()}
    code = state.get("ExitCode")
    if os.path.exists(run.started):
        message = (
            f"the container ended with code {code} before the script's end could be recorded: it was ended from "
            "outside (`docker kill`, or the engine was restarted); what it logged and wrote is kept. Submit it again"
        )
    else:
        message = f"the launcher did not come up in the container (code {code}): {last_words(run.control_log)}"
    return {"reason": "container_ended", "code": code, "signal": None, "message": message, "time": time.time()}
