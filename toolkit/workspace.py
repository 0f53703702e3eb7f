"""`Workspace`: a folder of this machine that holds experiments, runs, snapshots and their MLflow store."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import configuration
from toolkit.errors import UserErrorException, storage_errors
from toolkit.inscript.files import write_json
from toolkit.paths import WorkspacePaths, home

if TYPE_CHECKING:
    from toolkit.compute import ComputeTarget
    from toolkit.environment import Environment
    from toolkit.experiment import Experiment
    from toolkit.run import Run

CONFIG_FOLDERS = (".toolkit", ".azureml", "aml_config", "")
DEFAULT_NAME = "default"


class Workspace:
    """A workspace, opened by name.

    Args:
        subscription_id, resource_group: kept for Azure ML SDK v1 scripts; they decide nothing here.
        workspace_name: the name of an existing workspace.

    Raises:
        UserErrorException: there is no such workspace.
    """

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str = DEFAULT_NAME,
        auth: object = None,
        **kwargs: object,
    ) -> None:
        self._name = _checked_name(workspace_name)
        self.subscription_id = subscription_id or ""
        self.resource_group = resource_group or ""
        self.location = "local"
        self.paths = WorkspacePaths(home().workspaces / self._name)
        if not self.paths.root.is_dir():
            known = ", ".join(Workspace._names()) or "none"
            raise UserErrorException(
                f"there is no workspace '{self._name}' on this machine; it has: {known}. "
                f"Make it with Workspace.create('{self._name}') or `toolkit init {self._name}`"
            )

    @staticmethod
    def create(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        exist_ok: bool = False,
        **kwargs: object,
    ) -> Workspace:
        """Make a workspace below the toolkit's home (`TOOLKIT_HOME`, else the user's data folder).

        Raises:
            UserErrorException: it is there already, and `exist_ok` is False.
            StorageError: the folder cannot be written.
        """
        root = home().workspaces / _checked_name(name)
        if root.is_dir() and not exist_ok:
            raise UserErrorException(
                f"the workspace '{name}' exists already, in {root}: open it with Workspace.get('{name}'), "
                "or create it with exist_ok=True"
            )
        paths = WorkspacePaths(root)
        folders = (home().root, home().workspaces, root, paths.runs, paths.active, paths.untracked, paths.agent)
        with storage_errors(f"cannot create the workspace '{name}'", root):
            for folder in (*folders, paths.experiments):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not paths.configuration.exists():
                configuration.write_template(paths.configuration)
        return Workspace(subscription_id, resource_group, name)

    @staticmethod
    def get(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        **_: object,
    ) -> Workspace:
        """The existing workspace `name`."""
        return Workspace(subscription_id, resource_group, name)

    @staticmethod
    def list(subscription_id: str | None = None, auth: object = None, resource_group: str | None = None) -> Any:
        """The workspaces of this machine: `{name: [Workspace]}`, the shape that Azure ML SDK v1 had."""
        return {name: [Workspace.get(name)] for name in Workspace._names()}

    @staticmethod
    def _names() -> Any:
        try:
            return sorted(entry.name for entry in home().workspaces.iterdir() if entry.is_dir())
        except FileNotFoundError:
            return []

    @staticmethod
    def from_config(
        path: str | os.PathLike[str] | None = None,
        auth: object = None,
        _logger: object = None,
        _file_name: str | None = None,
    ) -> Workspace:
        """The workspace that a `config.json` names: in `.toolkit/`, `.azureml/`, `aml_config/` or plain, searched from
        `path` (a folder or the file itself; default the current folder) upwards.

        A workspace that is not there yet is created, and where is said.

        Raises:
            UserErrorException: no such file, or one that names no workspace.
        """
        file = _find_config(Path(path) if path is not None else Path.cwd(), _file_name or "config.json")
        settings = _read_config(file)
        name = settings["workspace_name"]
        subscription, group = settings.get("subscription_id"), settings.get("resource_group")
        try:
            return Workspace(subscription, group, name)
        except UserErrorException:
            workspace = Workspace.create(name, subscription_id=subscription, resource_group=group, exist_ok=True)
            print(f"Created the workspace '{name}' in {workspace.paths.root}")
            return workspace

    def write_config(self, path: str | os.PathLike[str] | None = None, file_name: str | None = None) -> None:
        """Write `.toolkit/config.json` below `path` (default the current folder), for `from_config`."""
        folder = Path(path or ".") / ".toolkit"
        with storage_errors("cannot write the workspace's config.json", folder):
            folder.mkdir(parents=True, exist_ok=True)
            settings = {
                "subscription_id": self.subscription_id,
                "resource_group": self.resource_group,
                "workspace_name": self.name,
            }
            write_json(
                str(folder / (file_name or "config.json")), {key: value for key, value in settings.items() if value}
            )

    @property
    def name(self) -> str:
        return self._name

    @property
    def configuration(self) -> configuration.WorkspaceConfiguration:
        """What the workspace's `workspace.yaml` says now."""
        return configuration.load(self.paths.configuration)

    @property
    def experiments(self) -> dict[str, Experiment]:
        """The experiments by name."""
        from toolkit.experiment import Experiment

        return {experiment.name: experiment for experiment in Experiment.list(self)}

    @property
    def compute_targets(self) -> dict[str, ComputeTarget]:
        """The compute targets by name."""
        from toolkit.compute import ComputeTarget

        return {name: ComputeTarget(self, name) for name in self.configuration.compute_targets}

    @property
    def environments(self) -> dict[str, Environment]:
        """The latest version of each environment that was registered or submitted, by name."""
        from toolkit.environment import Environment

        return Environment.list(self)

    def get_run(self, run_id: str) -> Run:
        """The run with this id, of whichever experiment."""
        from toolkit.run import Run

        return Run.get(self, run_id)

    def get_mlflow_tracking_uri(self) -> str:
        """The MLflow tracking URI of the workspace, for `mlflow.set_tracking_uri`."""
        from toolkit.agent import server

        return server.tracking_uri(self.paths)

    def get_details(self) -> dict[str, str]:
        return {"id": str(self.paths.root), "name": self.name, "location": self.location}

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, folder={str(self.paths.root)!r})"


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UserErrorException(
            f"'{name}' cannot be the name of a workspace: use 1 to 64 letters, digits, hyphens, underscores or dots, "
            "a letter or digit first"
        )
    return name


def _find_config(start: Path, file_name: str) -> Path:
    if start.is_file():
        return start
    start = start.absolute()
    for folder in (start, *start.parents):
        for inner in CONFIG_FOLDERS:
            candidate = folder / inner / file_name
            if candidate.is_file():
                return candidate
    raise UserErrorException(
        f"We could not find {file_name} in: {start} or in its parent directories. It names the workspace: run "
        f"`toolkit init NAME` in the project's folder, or write .toolkit/{file_name} with "
        '{"workspace_name": "NAME"}'
    )


def _read_config(file: Path) -> dict[str, str]:
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserErrorException(
            f"{file} is not valid JSON: {error}. Mend it, or write it anew with `toolkit init`"
        ) from error
    name = settings.get("workspace_name") if isinstance(settings, dict) else None
    if not name:
        raise UserErrorException(f'{file} names no workspace: it needs {{"workspace_name": "NAME"}}')
    return {key: str(value) for key, value in settings.items()}
