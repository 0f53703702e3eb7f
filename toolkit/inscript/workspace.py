"""The workspace as scripts in runs see it, and what it has in common with that of control scripts."""

import os
from typing import Any, Dict, Optional

from toolkit.inscript import workspace_config
from toolkit.inscript.errors import UserErrorException, WorkspaceException
from toolkit.inscript.files import read_json
from toolkit.inscript.rundir import RUN_DIRECTORY
from toolkit.inscript.workspace_directory import WorkspaceDirectory

DEFAULT_NAME = "default"


class NeedsToolkit(UserErrorException, AttributeError):
    """Something of a workspace that needs the whole toolkit in the environment of the script."""


class ServiceContext:
    """Which workspace it is, as Azure ML SDK v1 told its own clients."""

    def __init__(self, workspace: "WorkspaceParts") -> None:
        self.subscription_id = workspace.subscription_id
        self.resource_group_name = workspace.resource_group
        self.workspace_name = workspace.name
        self.workspace_id = workspace.get_details()["workspaceid"]
        self.location = workspace.location


class WorkspaceParts:
    """What a workspace offers in control scripts and in runs alike: its facts, its data, its models, its secrets."""

    def __init__(
        self,
        shared: WorkspaceDirectory,
        subscription_id: Optional[str],
        resource_group: Optional[str],
        facts: Dict[str, Any],
    ) -> None:
        """`shared`: the folders that runs share with control scripts; `facts`: what it was created with."""
        self.shared = shared
        self._facts = facts
        self._subscription_id = subscription_id
        self._resource_group = resource_group

    @property
    def name(self) -> str:
        return self.shared.name

    @property
    def subscription_id(self) -> str:
        """What the script or the `config.json` gave; kept for scripts, it decides nothing here."""
        return self._subscription_id or str(self._facts.get("subscription_id") or "")

    @property
    def resource_group(self) -> str:
        """What the script or the `config.json` gave; kept for scripts, it decides nothing here."""
        return self._resource_group or str(self._facts.get("resource_group") or "")

    @property
    def location(self) -> str:
        """What `create` was given, else "local"."""
        return str(self._facts.get("location") or "local")

    @property
    def sku(self) -> str:
        return str(self._facts.get("sku") or "Basic")

    @property
    def tags(self) -> Dict[str, str]:
        return dict(self._facts.get("tags") or {})

    @property
    def discovery_url(self) -> str:
        """ "": there is no service to discover."""
        return ""

    @property
    def service_context(self) -> ServiceContext:
        return ServiceContext(self)

    def get_details(self) -> Dict[str, Any]:
        """What is known of the workspace, under the keys that Azure ML SDK v1 had."""
        directory = self.shared
        return {
            "id": directory.root,
            "name": self.name,
            "location": self.location,
            "type": "toolkit.workspace",
            "tags": self.tags,
            "sku": self.sku,
            "workspaceid": str(self._facts.get("id") or self.name),
            "description": str(self._facts.get("description") or ""),
            "friendlyName": str(self._facts.get("friendly_name") or self.name),
            "creationTime": self._facts.get("created"),
            "containerRegistry": None,
            "keyVault": directory.secrets,
            "applicationInsights": None,
            "storageAccount": directory.storage,
            "hbiWorkspace": False,
            "provisioningState": "Succeeded",
            "discoveryUrl": self.discovery_url,
        }

    @property
    def datastores(self) -> Dict[str, Any]:
        """The datastores by name."""
        from toolkit.data.datastore import Datastore

        return dict(Datastore.get_all(self))

    def get_default_datastore(self) -> Any:
        """The datastore that data goes to where nothing else is said."""
        from toolkit.data.datastore import Datastore

        return Datastore.get_default(self)

    def set_default_datastore(self, name: str) -> None:
        """Let the datastore of this name be the default."""
        from toolkit.data.datastore import Datastore

        Datastore.get(self, name).set_as_default()

    @property
    def datasets(self) -> Dict[str, Any]:
        """The latest version of each registered data set, by name."""
        from toolkit.data.dataset import Dataset

        return dict(Dataset.get_all(self))

    @property
    def models(self) -> Dict[str, Any]:
        """The latest version of each registered model, by name."""
        from toolkit.inscript.model import Model

        return {model.name: model for model in Model.list(self, latest=True)}

    def get_default_keyvault(self) -> Any:
        """The secrets of the workspace."""
        from toolkit.inscript.keyvault import Keyvault

        return Keyvault(self)

    @property
    def images(self) -> Dict[str, Any]:
        """{}: there are no images of web services."""
        return {}

    @property
    def webservices(self) -> Dict[str, Any]:
        """{}: there are no web services."""
        return {}

    @property
    def linked_services(self) -> Dict[str, Any]:
        """{}: no services of Azure are linked."""
        return {}

    @property
    def private_endpoints(self) -> Dict[str, Any]:
        """{}: a workspace is a folder."""
        return {}


_WITH_TOOLKIT = (
    "compute_targets", "configuration", "delete", "environments", "experiments", "get_default_compute_target",
    "get_run", "list_keys", "paths", "sync_keys", "update", "write_config",
)  # fmt: skip


class ScriptWorkspace(WorkspaceParts):
    """The workspace of the run around this script, else the one that a `config.json` names.

    Args:
        subscription_id, resource_group: kept for Azure ML SDK v1 scripts; they decide nothing here.
        workspace_name: the run's own, or another one that this process can see.

    Raises:
        WorkspaceException: there is no such workspace, as far as this process can see.
    """

    def __init__(
        self,
        subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None,
        workspace_name: Optional[str] = None,
        auth: object = None,
        **kwargs: object,
    ) -> None:
        own = _around()
        root = own if workspace_name in (None, os.path.basename(own)) else _beside(own, str(workspace_name))
        shared = WorkspaceDirectory(root)
        WorkspaceParts.__init__(self, shared, subscription_id, resource_group, _facts(shared))

    @staticmethod
    def get(
        name: Optional[str] = None,
        auth: object = None,
        subscription_id: Optional[str] = None,
        resource_group: Optional[str] = None,
        location: Optional[str] = None,
        cloud: object = None,
        id: object = None,
    ) -> "ScriptWorkspace":
        """The workspace `name`."""
        return ScriptWorkspace(subscription_id, resource_group, name)

    @staticmethod
    def from_config(
        path: Any = None, auth: object = None, _logger: object = None, _file_name: Optional[str] = None
    ) -> "ScriptWorkspace":
        """In a run, its own workspace, whatever a `config.json` says; outside, the one that the `config.json` names."""
        if os.environ.get(RUN_DIRECTORY):
            return ScriptWorkspace()
        file = workspace_config.find(str(path or os.getcwd()), _file_name or "config.json")
        settings = workspace_config.read(file)
        return ScriptWorkspace(
            settings.get("subscription_id"), settings.get("resource_group"), settings["workspace_name"]
        )

    @staticmethod
    def create(name: str, *args: Any, **kwargs: Any) -> Any:
        """Make a workspace: see `toolkit.Workspace.create`, which does it where the whole toolkit is installed."""
        return _toolkit_workspace("create").create(name, *args, **kwargs)

    @staticmethod
    def list(*args: Any, **kwargs: Any) -> Any:
        """The workspaces of this machine: see `toolkit.Workspace.list`."""
        return _toolkit_workspace("list").list(*args, **kwargs)

    @staticmethod
    def setup() -> "ScriptWorkspace":
        """The workspace of the run: there is nothing to set up."""
        return ScriptWorkspace()

    def get_mlflow_tracking_uri(self, _with_auth: bool = False) -> str:
        """The MLflow tracking URI of the workspace, for `mlflow.set_tracking_uri`."""
        found = os.environ.get("MLFLOW_TRACKING_URI")
        return found or str(self._whole("get_mlflow_tracking_uri").get_mlflow_tracking_uri())

    def __getattr__(self, name: str) -> Any:
        if name not in _WITH_TOOLKIT:
            raise AttributeError("a workspace has no attribute %r" % name)
        return getattr(self._whole(name), name)

    def _whole(self, name: str) -> Any:
        """The same workspace by the whole toolkit, where that is installed and the workspace's folder is here."""
        workspace = _toolkit_workspace(name)
        if not os.path.isfile(self.shared.configuration):
            raise NeedsToolkit(
                "Workspace.%s needs the folder of the workspace, which this process does not see (in a container it "
                "is not there): leave it to the script that submits" % name
            )
        return workspace.at(self.shared.root)

    def __repr__(self) -> str:
        return "Workspace(name=%r)" % self.name


def offline_workspace() -> Any:
    """The workspace of a process outside runs: the one that a `config.json` names, else that of the default name."""
    try:
        from toolkit.workspace import Workspace
    except ImportError:
        return ScriptWorkspace()
    try:
        return Workspace.from_config()
    except UserErrorException:
        return ScriptWorkspace()


def _toolkit_workspace(name: str) -> Any:
    """The `Workspace` of control scripts, for its member `name`."""
    try:
        from toolkit.workspace import Workspace
    except ImportError:
        raise NeedsToolkit(
            "Workspace.%s is for control scripts: inside a run it needs the whole toolkit, so add the toolkit to the "
            "pip section of the script's environment, or leave it to the script that submits" % name
        )
    return Workspace


def _around() -> str:
    """The folder of the workspace that this process is in."""
    run = os.environ.get(RUN_DIRECTORY)
    if run:
        return os.path.dirname(os.path.dirname(run.rstrip(os.sep)))
    try:
        name = workspace_config.read(workspace_config.find(os.getcwd()))["workspace_name"]
    except UserErrorException:
        name = DEFAULT_NAME
    home = os.environ.get("TOOLKIT_HOME") or os.path.expanduser("~/.local/share/toolkit")
    return os.path.join(home, "workspaces", name)


def _beside(own: str, name: str) -> str:
    root = os.path.join(os.path.dirname(own), name)
    if os.sep in name or name.startswith(".") or not os.path.isdir(root):
        raise WorkspaceException(
            "there is no workspace '%s' that this process can see: the run is in '%s', which Workspace.from_config() "
            "and Workspace() give" % (name, os.path.basename(own))
        )
    return root


def _facts(directory: WorkspaceDirectory) -> Dict[str, Any]:
    """What the workspace was created with; in a container, what its environment says of it."""
    found: Any = read_json(directory.facts, None)
    if isinstance(found, dict):
        return found
    names = {"subscription_id": "AZUREML_ARM_SUBSCRIPTION", "resource_group": "AZUREML_ARM_RESOURCEGROUP"}
    return {key: os.environ[variable] for key, variable in names.items() if variable in os.environ}
