"""Building an environment ahead of its runs: `ImageBuildDetails`, and what there is of it: `DockerImageDetails`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.background import background_environment, outlives
from toolkit.environments.request import Request
from toolkit.environments.store import store
from toolkit.errors import ContainerEngineError, EnvironmentBuildError, UserErrorException, storage_errors
from toolkit.images import engine
from toolkit.inscript.files import read_json, write_json

if TYPE_CHECKING:
    from toolkit.environment import Environment
    from toolkit.workspace import Workspace

_LOOK_SECONDS = 0.1


class ImageBuildDetails:
    """A build that goes on, of an image or of a folder on this machine. It goes on when this process ends.

    Attributes:
        key: what the build makes, by its content.
        log_url: the file that the build log is written to.
    """

    def __init__(self, request: Request, process: subprocess.Popen[bytes] | None, log: Path) -> None:
        self.key = request.key
        self.log_url = str(log)
        self._request = request
        self._process = process

    @property
    def status(self) -> str:
        """ "Running", "Succeeded" or "Failed"."""
        code = 0 if self._process is None else self._process.poll()
        return "Running" if code is None else "Failed" if code else "Succeeded"

    def get_log(self) -> str:
        """The build log so far."""
        return Path(self.log_url).read_text(encoding="utf-8", errors="replace")

    def wait_for_completion(self, show_output: bool = True) -> None:
        """Wait for the end of the build.

        Args:
            show_output: print the build log as it grows.

        Raises:
            EnvironmentBuildError: it failed; with the tools' own words.
        """
        with Path(self.log_url).open(encoding="utf-8", errors="replace") as log:
            while True:
                running = self.status == "Running"
                text = log.read()
                if show_output and text:
                    print(text, end="", flush=True)
                if not running:
                    break
                time.sleep(_LOOK_SECONDS)
        if show_output:
            print(f"Image Build Status: {self.status}\n" if self._request.image else f"Build: {self.status}\n")
        if self.status == "Failed":
            recorded = read_json(str(store().error(self.key)), {}).get("message")
            reason = recorded or "the build was ended from outside; build it again"
            raise EnvironmentBuildError(f"{reason}\nThe build log is {self.log_url}")

    def __repr__(self) -> str:
        return f"ImageBuildDetails(status={self.status!r}, log_url={self.log_url!r})"


class DockerImageDetails(dict[str, Any]):
    """What there is of an environment's image: a mapping as Azure ML SDK v1 had it, with names for its parts."""

    @property
    def image_exist(self) -> bool:
        """Whether the engine has the image."""
        return bool(self["imageExistsInRegistry"])

    @property
    def image(self) -> str | None:
        """The image as the engine names it, "sha256:…"; None where it is yet to be built."""
        name: str | None = self["dockerImage"]["name"]
        return name

    @property
    def repository(self) -> str | None:
        """As `image`."""
        return self.image

    @property
    def registry(self) -> dict[str, Any]:
        """The registry that images are shared through: {"address": …}, "" for none."""
        registry: dict[str, Any] = self["dockerImage"]["registry"]
        return registry

    @property
    def interpreter_path(self) -> str | None:
        """The interpreter in the image; None where it is yet to be built."""
        path: str | None = self["pythonEnvironment"]["interpreterPath"]
        return path

    @property
    def environment_path(self) -> str | None:
        """The folder of the interpreter's environment in the image; None where it is yet to be built."""
        path: str | None = self["pythonEnvironment"]["condaEnvironmentPath"]
        return path

    @property
    def dockerfile(self) -> str:
        """The Dockerfile of the base; "" where it is an image."""
        text: str = self["ingredients"]["dockerfile"]
        return text


def request_of(environment: Environment, workspace: Workspace, target: str) -> Request:
    """What a run on a compute target asks for.

    Raises:
        ComputeTargetException: there is no such target, or its settings cannot work.
        UserErrorException: something in the environment cannot work.
    """
    from toolkit.targets import registry

    image, address = registry.images_of(target, workspace.configuration, workspace.paths.configuration)
    gpu = bool(workspace.configuration.compute_targets[target].get("gpus"))
    document = environment.resolve(workspace.configuration.package_source, image, gpu)
    return Request.from_dict({**document, "engine": address})


def default_target(environment: Environment, workspace: Workspace, image: bool | None = None) -> str:
    """The compute target that an environment is built for where none is named.

    Args:
        image: whether it has to run images; None takes one that does where its engine answers.

    Raises:
        UserErrorException: the workspace has no such target.
        ContainerEngineError: the environment needs an image, and the engine does not answer.
    """
    from toolkit.targets import registry

    targets = workspace.configuration.compute_targets
    kinds = {name: registry.kind(str(settings["type"])) for name, settings in targets.items()}
    with_images = [name for name, kind in kinds.items() if kind is not None and kind.runs_images]
    without = [name for name, kind in kinds.items() if kind is not None and not kind.runs_images]
    needed = image if image is not None else (environment.docker.has_base or None)
    if needed is not False and with_images:
        try:
            engine.ping(engine.address(str(targets[with_images[0]].get("engine") or "")))
            return with_images[0]
        except ContainerEngineError:
            if needed or not without:
                raise
    if needed or not without:
        what = "docker: {type: docker}" if needed else "local: {type: local}"
        raise UserErrorException(
            f"the workspace '{workspace.name}' has no compute target that this environment can be built for; put a "
            f"line below compute_targets in {workspace.paths.configuration}, as in\n  {what}"
        )
    return without[0]


def start(request: Request) -> ImageBuildDetails:
    """Start the build of a request, in a process of its own.

    Raises:
        StorageError: the disk is full, or the store cannot be written.
    """
    place = store()
    with storage_errors("cannot start the build of the environment", place.root):
        place.make_folders()
        descriptor, name = tempfile.mkstemp(dir=place.root / "logs", prefix=f"{request.key[:12]}-", suffix=".txt")
        os.close(descriptor)
        log, asked = Path(name), Path(name).with_suffix(".request.json")
        if not request.key:
            log.write_text("nothing is built: runs use an interpreter of this machine as it is\n", encoding="utf-8")
            return ImageBuildDetails(request, None, log)
        write_json(str(asked), request.to_dict())
    command = [sys.executable, "-m", "toolkit.environments.build", "--request", str(asked), "--log", name]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
            env=background_environment(),
        )  # fmt: skip
    outlives(process)
    return ImageBuildDetails(request, process, log)


def details(request: Request) -> DockerImageDetails:
    """What there is of the image of a request.

    Raises:
        ContainerEngineError: the engine does not answer.
    """
    from toolkit.images import image as images

    assert request.image is not None
    found = images.find(request)
    python = found.python if found else None
    return DockerImageDetails(
        imageExistsInRegistry=found is not None,
        dockerImage={"name": found.id if found else None, "registry": {"address": request.image.image_registry}},
        pythonEnvironment={
            "interpreterPath": python,
            "condaEnvironmentPath": os.path.dirname(os.path.dirname(python)) if python else None,
        },
        ingredients={
            "baseImage": request.image.base_image,
            "dockerfile": request.image.base_dockerfile,
            "specification": request.specification.to_dict() if request.specification else None,
        },
    )
