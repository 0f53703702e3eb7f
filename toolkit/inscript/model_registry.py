"""Where a `Model` asks: MLflow's registry itself in a control process, the workspace's tracker in a run."""

import glob
import os
from typing import Any, Dict, List, Optional

from toolkit.inscript import model_files
from toolkit.inscript.errors import ModelNotFoundException, UserErrorException
from toolkit.inscript.files import is_within
from toolkit.inscript.requests import ask
from toolkit.inscript.rundir import RUN_DIRECTORY, RunDirectory
from toolkit.inscript.workspace import ScriptWorkspace

CACHE = "azureml-models"  # below the current folder, or in a run below its own: <name>/<version>/<file or folder>


def run_to_ask(workspace: Any) -> Optional[RunDirectory]:
    """The run around this process, where the workspace is that run's: its tracker answers. Else None."""
    root = os.environ.get(RUN_DIRECTORY)
    if not root or not isinstance(workspace, ScriptWorkspace):
        return None
    run = RunDirectory(root).outermost
    return run if workspace.shared.root == run.workspace else None


def call(workspace: Any, operation: str, fields: Dict[str, Any]) -> Any:
    """Have the models of a workspace asked: `operation` is a method of `toolkit.agent.models.ModelRegistry`.

    Args:
        workspace: a `Workspace`, or in a run what `run.experiment.workspace` is.

    Raises:
        ModelNotFoundException, UserErrorException, TrackingError: as that method says.
        ToolkitError: in a run, nobody answers.
    """
    run = run_to_ask(workspace)
    if run is not None:
        return ask(run, "models." + operation, fields)
    paths = getattr(workspace, "paths", None)
    if paths is None:
        raise UserErrorException(
            "models are in a workspace, and %r cannot be asked from here: install the whole toolkit in the environment "
            "of this script, or submit it" % (workspace,)
        )
    from toolkit.agent.models import registry_of

    return getattr(registry_of(paths), operation)(**fields)


def register(workspace: Any, path: str, child_paths: Optional[List[str]], fields: Dict[str, Any]) -> Dict[str, Any]:
    """Register a file or folder that this process sees, which the tracker of a run in a container may not.

    Args:
        fields: what `ModelRegistry.register` takes beside these.
    """
    model_files.check(path, child_paths)
    print("Registering model %s" % fields["name"])
    run, shared = run_to_ask(workspace), os.path.abspath(path)
    if run is not None and (not is_within(run.root, shared) or model_files.has_links(shared)):
        handed = dict(fields, handed_over=os.path.basename(shared))
        return dict(ask(run, "models.register", handed, lambda folder: _copy(shared, folder, child_paths)))
    return dict(call(workspace, "register", dict(fields, path=shared, child_paths=child_paths)))


def fetch(workspace: Any, name: str, version: Optional[int]) -> str:
    """The file or folder of a model, fetched once: below `azureml-models/` here, or in a run below the run's own."""
    return str(call(workspace, "path", {"name": name, "version": version, "root": os.path.abspath(CACHE)}))


def lying_here(name: str, version: Optional[int]) -> str:
    """The path of a model that was put beside a script that runs outside of any workspace."""
    roots = [CACHE] + [path for path in [os.environ.get("AZUREML_MODEL_DIR")] if path]
    for root in roots:
        pattern = os.path.join(glob.escape(os.path.join(root, name)), str(version) if version is not None else "*")
        versions = [
            folder for folder in glob.glob(pattern) if os.path.basename(folder).isdigit() and os.listdir(folder)
        ]
        if versions:
            folder = max(versions, key=lambda path: int(os.path.basename(path)))
            inside = sorted(os.listdir(folder))
            return os.path.join(folder, inside[0]) if len(inside) == 1 else folder
    raise ModelNotFoundException(
        "ModelNotFound: Model with name %s not found in %s: outside of a run, give the workspace, as in "
        "Model.get_model_path(%r, _workspace=Workspace.from_config())" % (name, " or ".join(roots), name)
    )


def _copy(path: str, folder: str, child_paths: Optional[List[str]]) -> None:
    model_files.copy(path, folder, child_paths)
