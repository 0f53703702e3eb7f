"""`Workspace`: a folder of this machine that holds experiments, runs, snapshots, data and their MLflow store."""

from __future__ import annotations

import builtins
import os
import re
import shutil
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import configuration
from toolkit.errors import UserErrorException, WorkspaceException, storage_errors
from toolkit.inscript import workspace_config
from toolkit.inscript.files import read_json, write_json
from toolkit.inscript.workspace import DEFAULT_NAME, WorkspaceParts
from toolkit.paths import WorkspacePaths, home

if TYPE_CHECKING:
    from toolkit.compute import ComputeTarget
    from toolkit.environment import Environment
    from toolkit.experiment import Experiment
    from toolkit.run import Run


class Workspace(WorkspaceParts):
    """A workspace, opened by name.

    Args:
        subscription_id, resource_group: kept for Azure ML SDK v1 scripts; they decide nothing here.
        workspace_name: the name of an existing workspace.
        auth, sku, tags and what follows: taken and not used: nobody signs in, and `create` says what a workspace is.

    Raises:
        WorkspaceException: there is no such workspace.
    """

    DEFAULT_CPU_CLUSTER_NAME = "cpu-cluster"
    DEFAULT_GPU_CLUSTER_NAME = "gpu-cluster"

    def __init__(
        self,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        workspace_name: str = DEFAULT_NAME,
        auth: object = None,
        _location: object = None,
        _disable_service_check: bool = False,
        _workspace_id: object = None,
        sku: str = "basic",
        tags: dict[str, str] | None = None,
        _cloud: str = "AzureCloud",
    ) -> None:
        self._open(home().workspaces / _checked_name(workspace_name), subscription_id, resource_group)

    def _open(self, root: Path, subscription_id: str | None, resource_group: str | None) -> None:
        self.paths = WorkspacePaths(root)
        if not root.is_dir():
            known = ", ".join(Workspace._names()) or "none"
            raise WorkspaceException(
                f"there is no workspace '{root.name}' on this machine; it has: {known}. "
                f"Make it with Workspace.create('{root.name}') or `toolkit init {root.name}`"
            )
        shared = self.paths.shared
        WorkspaceParts.__init__(self, shared, subscription_id, resource_group, read_json(shared.facts, {}))

    @staticmethod
    def at(root: str | os.PathLike[str]) -> Workspace:
        """The workspace whose folder this is, wherever the toolkit's home is."""
        workspace = Workspace.__new__(Workspace)
        workspace._open(Path(root), None, None)
        return workspace

    @staticmethod
    def create(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        create_resource_group: bool = True,
        sku: str = "basic",
        tags: dict[str, str] | None = None,
        friendly_name: str | None = None,
        storage_account: object = None,
        key_vault: object = None,
        app_insights: object = None,
        container_registry: object = None,
        adb_workspace: object = None,
        primary_user_assigned_identity: object = None,
        cmk_keyvault: object = None,
        resource_cmk_uri: object = None,
        hbi_workspace: bool = False,
        default_cpu_compute_target: object = None,
        default_gpu_compute_target: object = None,
        private_endpoint_config: object = None,
        private_endpoint_auto_approval: bool = True,
        exist_ok: bool = False,
        show_output: bool = True,
        user_assigned_identity_for_cmk_encryption: object = None,
        system_datastores_auth_mode: str = "accessKey",
        v1_legacy_mode: bool | None = None,
    ) -> Workspace:
        """Make a workspace below the toolkit's home (`TOOLKIT_HOME`, else the user's data folder).

        Args:
            subscription_id, resource_group, location, sku, tags, friendly_name: kept, and given back by the
                properties of these names; they decide nothing.
            exist_ok: whether it may be there already; it is opened then, and stays as it is.
            The other arguments name resources of Azure, which there are none of: they are taken and not used.

        Raises:
            WorkspaceException: it is there already, and `exist_ok` is False.
            UserErrorException: a name that cannot be.
            StorageError: the folder cannot be written.
        """
        root = home().workspaces / _checked_name(name)
        if root.is_dir() and not exist_ok:
            raise WorkspaceException(
                f"the workspace '{name}' exists already, in {root}: open it with Workspace.get('{name}'), "
                "or create it with exist_ok=True"
            )
        paths = WorkspacePaths(root)
        facts = {
            "id": str(uuid.uuid4()),
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "subscription_id": subscription_id,
            "resource_group": resource_group,
            "location": location,
            "sku": sku.capitalize(),
            "tags": {str(key): str(value) for key, value in (tags or {}).items()},
            "friendly_name": friendly_name,
        }
        folders = (home().root, home().workspaces, root, paths.runs, paths.active, paths.untracked, paths.agent)
        with storage_errors(f"cannot create the workspace '{name}'", root):
            for folder in (*folders, paths.experiments):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not os.path.exists(paths.shared.facts):
                write_json(paths.shared.facts, facts)
            if not paths.configuration.exists():
                configuration.write_template(paths.configuration)
        return Workspace(subscription_id, resource_group, name)

    @staticmethod
    def get(
        name: str,
        auth: object = None,
        subscription_id: str | None = None,
        resource_group: str | None = None,
        location: str | None = None,
        cloud: str = "AzureCloud",
        id: object = None,
    ) -> Workspace:
        """The existing workspace `name`. The other arguments are kept for Azure ML SDK v1 scripts.

        Given with a subscription and a resource group it is one that a script had in Azure: here it is created where
        it is not there yet, as by `from_config`.

        Raises:
            WorkspaceException: there is no such workspace.
        """
        if subscription_id and resource_group:
            return Workspace._opened(name, subscription_id, resource_group)
        return Workspace(subscription_id, resource_group, name)

    @staticmethod
    def list(
        subscription_id: str | None = None, auth: object = None, resource_group: str | None = None
    ) -> dict[str, builtins.list[Workspace]]:
        """The workspaces of this machine: `{name: [Workspace]}`, the shape that Azure ML SDK v1 had."""
        return {name: [Workspace.get(name)] for name in Workspace._names()}

    @staticmethod
    def _names() -> builtins.list[str]:
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
        file = workspace_config.find(os.fspath(path or Path.cwd()), _file_name or "config.json")
        settings = workspace_config.read(file)
        name = settings["workspace_name"]
        subscription, group = settings.get("subscription_id"), settings.get("resource_group")
        return Workspace._opened(name, subscription, group)

    @staticmethod
    def _opened(name: str, subscription_id: str | None, resource_group: str | None) -> Workspace:
        """The workspace; one that is not there yet is created, and where is said."""
        try:
            return Workspace(subscription_id, resource_group, name)
        except WorkspaceException:
            workspace = Workspace.create(
                name, subscription_id=subscription_id, resource_group=resource_group, exist_ok=True
            )
            print(f"Created the workspace '{name}' in {workspace.paths.root}")
            return workspace

    @staticmethod
    def setup() -> Workspace:
        """The workspace that a `config.json` names; where none does, the one called "default" and a `config.json`."""
        try:
            workspace_config.find(os.getcwd())
        except UserErrorException:
            Workspace.create(DEFAULT_NAME, exist_ok=True).write_config()
        return Workspace.from_config()

    def write_config(self, path: str | os.PathLike[str] | None = None, file_name: str | None = None) -> None:
        """Write `.toolkit/config.json` below `path` (default the current folder), for `from_config`.

        A `path` that is a folder of such files itself, as ".azureml" was in Azure ML SDK v1, gets the file directly.
        """
        folder = Path(path or ".")
        if not folder.name or folder.name not in workspace_config.FOLDERS:
            folder /= ".toolkit"
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

    def get_default_compute_target(self, type: str) -> ComputeTarget | None:
        """The compute target for "CPU" or "GPU" runs where a script names none; None where there is none."""
        from toolkit import compute

        target: ComputeTarget | None = compute.default_target(self, type)
        return target

    @property
    def environments(self) -> dict[str, Environment]:
        """The latest version of each environment that was registered or submitted, by name."""
        from toolkit.environment import Environment

        return Environment.list(self)

    def get_run(self, run_id: str) -> Run:
        """The run with this id, of whichever experiment."""
        from toolkit.run import Run

        return Run.get(self, run_id)

    def get_mlflow_tracking_uri(self, _with_auth: bool = False) -> str:
        """The MLflow tracking URI of the workspace, for `mlflow.set_tracking_uri`."""
        from toolkit.agent import server

        return server.tracking_uri(self.paths)

    def update(
        self,
        friendly_name: str | None = None,
        description: str | None = None,
        tags: dict[str, str] | None = None,
        image_build_compute: object = None,
        service_managed_resources_settings: object = None,
        primary_user_assigned_identity: object = None,
        allow_public_access_when_behind_vnet: object = None,
        v1_legacy_mode: object = None,
    ) -> dict[str, Any]:
        """Change name, description or tags, all three for people only. Returns `get_details()`."""
        given = {"friendly_name": friendly_name, "description": description, "tags": tags}
        facts = {**self._facts, **{key: value for key, value in given.items() if value is not None}}
        with storage_errors("cannot update the workspace", self.paths.root):
            write_json(self.shared.facts, facts)
        self._facts = facts
        return self.get_details()

    def delete(self, delete_dependent_resources: bool = False, no_wait: bool = False) -> None:
        """Remove the workspace's folder: its runs, data, models and secrets. Environments stay, they are shared.

        Raises:
            WorkspaceException: runs of it go on.
            StorageError: a file cannot be removed.
        """
        from toolkit.agent import server, wake

        going = sorted(path.name for path in self.paths.active.iterdir())
        if going:
            raise WorkspaceException(
                f"the workspace '{self.name}' has {len(going)} runs that go on ({', '.join(going[:3])}): wait for "
                "them, or cancel them first"
            )
        server.stop(self.paths)
        wake.stop(self.paths)
        with storage_errors("cannot remove the workspace", self.paths.root):
            shutil.rmtree(self.paths.root)

    def list_keys(self) -> dict[str, str]:
        """{}: a workspace has no keys of storage accounts or registries."""
        return {}

    def sync_keys(self, no_wait: bool = False) -> None:
        """Nothing to do: there are no keys."""

    def __repr__(self) -> str:
        return f"Workspace(name={self.name!r}, folder={str(self.paths.root)!r})"


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise UserErrorException(
            f"'{name}' cannot be the name of a workspace: use 1 to 64 letters, digits, hyphens, underscores or dots, "
            "a letter or digit first"
        )
    return name
