"""MLflow's model registry: what `Model` asks of it, in a control process or in the tracker for a script in a run."""

from __future__ import annotations

import functools
import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.agent import server, store
from toolkit.agent.artifacts import artifact_name
from toolkit.agent.model_records import REQUEST, keys_of, matches, record_of, tag_of, tags_of
from toolkit.background import background_environment
from toolkit.errors import ModelNotFoundException, ModelPathNotFoundException, TrackingError, UserErrorException
from toolkit.inscript.files import write_text
from toolkit.inscript.model_files import copy_chosen
from toolkit.paths import WorkspacePaths

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

UPLOADS = "models"  # the MLflow experiment of models that were registered from a folder, and not from a run
FOLDER = "registered"  # where a run's artifacts hold what was registered while the run went on
_A_PAGE = 1000


class ModelRegistry:
    """The models of a workspace. Every method takes and gives plain JSON, so that a script may ask from a container."""

    def __init__(self, paths: WorkspacePaths, client: MlflowClient) -> None:
        self._paths = paths
        self._client = client
        self._runs: dict[str, tuple[str, str]] = {}

    # -- reading --------------------------------------------------------------------------------------------------

    def find(
        self, name: str | None = None, version: int | None = None, latest: bool = False, **filters: Any
    ) -> list[dict[str, Any]]:
        """The models that have all that is asked for (see `model_records.matches`), the newest first.

        Args:
            latest: of each name only the highest version.
        """
        with mlflow_errors("read the models"):
            found = [self._record(one) for one in self._versions(name, version)]
        found = [record for record in found if matches(record, **filters)]
        found.sort(key=lambda record: (record["created"], record["version"]), reverse=True)
        if latest:
            highest: dict[str, int] = {}
            for record in found:
                highest[record["name"]] = max(record["version"], highest.get(record["name"], 0))
            found = [record for record in found if record["version"] == highest[record["name"]]]
        return found

    def _versions(self, name: str | None, version: int | None) -> Iterator[ModelVersion]:
        from mlflow.exceptions import MlflowException

        if name is not None and version is not None:
            try:
                yield self._client.get_model_version(name, str(version))
            except MlflowException as error:
                if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    raise
            return
        wanted = f"name={_quoted(name)}" if name is not None else None
        token = None
        while True:
            page = self._client.search_model_versions(wanted, max_results=_A_PAGE, page_token=token)
            for one in page:
                if "mlflow.prompt.is_prompt" not in one.tags and (version is None or int(one.version) == version):
                    yield one
            token = page.token
            if not token:
                return

    def _record(self, version: ModelVersion) -> dict[str, Any]:
        """The record of a version; one that MLflow's own client registered in a run of ours says so too."""
        record = record_of(version)
        if version.run_id and not record["run_id"]:
            record["run_id"], record["experiment"] = self._run_of(version.run_id)
        return record

    def _run_of(self, mlflow_run_id: str) -> tuple[str, str]:
        from mlflow.exceptions import MlflowException

        if mlflow_run_id not in self._runs:
            try:
                run = self._client.get_run(mlflow_run_id)
            except MlflowException:  # it was deleted for good
                return "", ""
            run_id = run.data.tags.get("toolkit.run_id", "")
            experiment = self._client.get_experiment(run.info.experiment_id).name if run_id else ""
            self._runs[mlflow_run_id] = (run_id, experiment)
        return self._runs[mlflow_run_id]

    def get(self, name: str, version: int) -> dict[str, Any]:
        """The record of one version.

        Raises:
            ModelNotFoundException: there is none.
        """
        found = self.find(name, version)
        if not found:
            raise ModelNotFoundException(
                f"ModelNotFound: Model with name {name}, version {version} not found in provided workspace"
            )
        return found[0]

    # -- registering ----------------------------------------------------------------------------------------------

    def register(
        self,
        name: str,
        path: str,
        tags: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        description: str | None = None,
        facts: Mapping[str, Any] | None = None,
        child_paths: list[str] | None = None,
        mlflow_run_id: str = "",
        request: str = "",
    ) -> dict[str, Any]:
        """Keep a file or folder of this machine as a new version of the model `name`. Later changes do not touch it.

        Args:
            facts: see `model_records.tags_of`.
            child_paths: of a folder, these files alone.
            mlflow_run_id: the MLflow run that gets the files; by default one that is made for them.
            request: the request that this answers; answering it again gives the version that is there.

        Raises:
            UserErrorException: MLflow does not take the name.
            ModelPathNotFoundException: there is no such file or folder.
            TrackingError: MLflow cannot be reached.
        """
        answered = self._answered(name, request)
        if answered is not None:
            return answered
        if not os.path.exists(path):
            raise ModelPathNotFoundException(f'Error, provided model path "{path}" cannot be found')
        base = artifact_name(os.path.basename(os.path.abspath(path)))
        known = {**(facts or {}), "folder": os.path.isdir(path)}
        with mlflow_errors(f"register the model '{name}'"):
            self._create_if_new(name)  # a name that MLflow refuses is told before anything is sent
            own_run = not mlflow_run_id
            if own_run:
                mlflow_run_id = self._run_for(name)
            artifact = f"{FOLDER}/{artifact_name(name)}/{uuid.uuid4().hex[:12]}/{base}"
            self._send(mlflow_run_id, artifact, path, child_paths)
            if own_run:
                self._client.set_terminated(mlflow_run_id)
        return self.register_artifact(name, mlflow_run_id, artifact, tags, properties, description, known, request)

    def register_artifact(
        self,
        name: str,
        mlflow_run_id: str,
        artifact: str,
        tags: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        description: str | None = None,
        facts: Mapping[str, Any] | None = None,
        request: str = "",
    ) -> dict[str, Any]:
        """Make a version of the model `name`, and the model where it is new, of an artifact of an MLflow run."""
        kept = tags_of(tags or {}, properties or {}, {"created_by": _user(), **(facts or {}), "artifact": artifact})
        if request:
            kept[REQUEST] = request
        with mlflow_errors(f"register the model '{name}'"):
            self._create_if_new(name)
            root = self._client.get_run(mlflow_run_id).info.artifact_uri.rstrip("/")
            made = self._client.create_model_version(
                name, f"{root}/{artifact}", mlflow_run_id, tags=kept, description=description
            )
            return self._record(self._client.get_model_version(name, made.version))

    def _answered(self, name: str, request: str) -> dict[str, Any] | None:
        """The version that a request was answered with, by a tracker that was ended before it could say so."""
        if not request:
            return None
        with mlflow_errors(f"register the model '{name}'"):
            wanted = f"tags.`{REQUEST}` = '{request}'"
            found = self._client.search_model_versions(wanted, max_results=1)
            return self._record(found[0]) if found else None

    def _create_if_new(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise

    def _run_for(self, name: str) -> str:
        experiment = self._client.get_experiment_by_name(UPLOADS)
        if experiment is None:
            own = server.tracking_uri(self._paths) == store.uri(self._paths)
            location = f"{self._paths.mlflow_artifacts}/{UPLOADS}" if own else None
            experiment_id = self._client.create_experiment(UPLOADS, artifact_location=location)
        else:
            experiment_id = experiment.experiment_id
            if experiment.lifecycle_stage == "deleted":
                self._client.restore_experiment(experiment_id)
        return str(self._client.create_run(experiment_id, run_name=f"files of {name}").info.run_id)

    def _send(self, mlflow_run_id: str, artifact: str, path: str, child_paths: list[str] | None) -> None:
        parent, _, base = artifact.rpartition("/")
        if os.path.isdir(path) and not child_paths:
            self._client.log_artifacts(mlflow_run_id, path, artifact)
            return
        with tempfile.TemporaryDirectory() as staged:
            if child_paths:
                copy_chosen(path, staged, child_paths)
                self._client.log_artifacts(mlflow_run_id, staged, artifact)
            else:
                link = os.path.join(staged, base)
                os.symlink(os.path.abspath(path), link)
                self._client.log_artifact(mlflow_run_id, link, parent)

    # -- changing -------------------------------------------------------------------------------------------------

    def update(
        self,
        name: str,
        version: int,
        tags: Mapping[str, Any] | None = None,
        add_tags: Mapping[str, Any] | None = None,
        remove_tags: list[str] | None = None,
        add_properties: Mapping[str, Any] | None = None,
        description: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Change a version; None leaves as it is. `tags` are all the tags that it has then.

        Raises:
            UserErrorException: a property is there already with another value; nothing was changed.
        """
        record = self.get(name, version)
        for key, value in (add_properties or {}).items():
            if record["properties"].get(key, str(value)) != str(value):
                raise UserErrorException(
                    f"the property '{key}' of the model {name}:{version} is '{record['properties'][key]}' and cannot "
                    f"become '{value}': properties never change; use a tag for what does"
                )
        with mlflow_errors(f"change the model {name}:{version}"):
            present = self._client.get_model_version(name, str(version))
            gone = [key for key in record["tags"] if key not in tags] if tags is not None else []
            removed = {tag_of(key) for key in {*gone, *(remove_tags or [])} & {*record["tags"]}}
            for tag in removed:
                self._client.delete_model_version_tag(name, str(version), tag)
            new = tags_of({**(tags or {}), **(add_tags or {})}, add_properties or {}, facts or {}, keys_of(present))
            for tag, text in new.items():
                if present.tags.get(tag) != text or tag in removed:
                    self._client.set_model_version_tag(name, str(version), tag, text)
            if description is not None:
                self._client.update_model_version(name, str(version), description)
        return self.get(name, version)

    def delete(self, name: str, version: int) -> None:
        """Delete a version; one that is gone already stays gone. The run that it came from keeps its files."""
        if self.find(name, version):
            with mlflow_errors(f"delete the model {name}:{version}"):
                self._client.delete_model_version(name, str(version))

    # -- files ----------------------------------------------------------------------------------------------------

    def path(self, name: str, version: int | None, root: str) -> str:
        """The file or folder of a version (default: the highest), below `root/<name>/<version>/`; fetched once.

        What was fetched there from another workspace, or from this one before it was made anew, is replaced.

        Raises:
            ModelNotFoundException: there is no such model.
        """
        record = self.get(name, version) if version is not None else self._highest(name)
        folder = Path(root, name, str(record["version"]))
        mark, source = folder.with_name(f".{folder.name}"), f"{self._paths.root} {record['created']}"
        if mark.exists() and mark.read_text(encoding="utf-8") != source:
            shutil.rmtree(folder, ignore_errors=True)
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as staging:
                self._fetch(record, os.path.join(staging, "whole"))
                try:
                    os.rename(os.path.join(staging, "whole"), folder)
                except OSError:  # another process was first
                    if not folder.is_dir():
                        raise
            write_text(str(mark), source)
        return str(next(folder.iterdir()))

    def _highest(self, name: str) -> dict[str, Any]:
        found = self.find(name, latest=True)
        if not found:
            raise ModelNotFoundException(f"ModelNotFound: Model with name {name} not found in provided workspace")
        return found[0]

    def download(self, name: str, version: int, folder: str) -> str:
        """Fetch the file or folder of a version into `folder`, in place of what has its name there."""
        record = self.get(name, version)
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".fetching-") as staging:
            self._fetch(record, os.path.join(staging, "whole"))
            (made,) = os.listdir(os.path.join(staging, "whole"))
            target = os.path.join(folder, made)
            if os.path.isdir(target) and not os.path.islink(target):
                shutil.rmtree(target)
            os.replace(os.path.join(staging, "whole", made), target)
        return target

    def _fetch(self, record: Mapping[str, Any], folder: str) -> None:
        """Download a version into the new folder `folder`, which then has one entry; `folder.parts` may be left."""
        staging = f"{folder}.parts"
        for made in (folder, staging):
            os.mkdir(made)
        with mlflow_errors(f"fetch the model {record['name']}:{record['version']}"):
            if record["artifact"]:
                found = self._client.download_artifacts(record["mlflow_run_id"], record["artifact"], staging)
                os.rename(found, os.path.join(folder, os.path.basename(record["artifact"])))
                return
            from mlflow.artifacts import download_artifacts

            uri = self._client.get_model_version(record["name"], str(record["version"])).source
            found = download_artifacts(
                artifact_uri=uri, dst_path=staging, tracking_uri=server.tracking_uri(self._paths)
            ).rstrip("/")
            whole = os.path.samefile(found, staging)  # a whole folder has no name of its own
            os.rename(found, os.path.join(folder, record["name"] if whole else os.path.basename(found)))


def _quoted(text: str) -> str:
    return f'"{text}"' if "'" in text else f"'{text}'"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return str(os.getuid())


@contextmanager
def mlflow_errors(doing: str) -> Iterator[None]:
    """Say of MLflow's errors what could not be done, and whose matter it is.

    Raises:
        UserErrorException: MLflow does not take what it was given.
        TrackingError: MLflow cannot be reached, or broke.
    """
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "RESOURCE_DOES_NOT_EXIST"):
            raise UserErrorException(f"MLflow refuses to {doing}: {error}") from error
        raise TrackingError(f"MLflow could not {doing}: {error}") from error
    except Exception as error:
        if not type(error).__module__.startswith("sqlalchemy"):  # which only MLflow's own store needs
            raise
        raise TrackingError(f"MLflow could not {doing}: {str(error).splitlines()[0]}") from error


def registry_of(paths: WorkspacePaths) -> ModelRegistry:
    """The registry of a workspace, for a control process."""
    return ModelRegistry(paths, client_of(paths))


def client_of(paths: WorkspacePaths) -> MlflowClient:
    """MLflow's client for a workspace; its own store is made where it is not there."""
    uri = server.tracking_uri(paths)
    for variable, value in server.mlflow_environment().items():
        os.environ.setdefault(variable, value)
    if uri == store.uri(paths) and not store.is_made(paths):
        _make_store(paths)
    return _client(uri)


def _make_store(paths: WorkspacePaths) -> None:
    """In a process of its own: MLflow says a lot while it makes its tables."""
    command = [sys.executable, "-m", "toolkit.agent.store", str(paths.root), "true"]
    made = subprocess.run(command, env=background_environment(), capture_output=True, text=True)
    if made.returncode != 0:
        said = made.stderr.strip().splitlines() or [f"exit code {made.returncode}"]
        raise TrackingError(f"MLflow could not make its store in {paths.mlflow}: {said[-1][:500]}")


@functools.lru_cache(maxsize=4)
def _client(uri: str) -> MlflowClient:
    from mlflow import MlflowClient

    with mlflow_errors(f"open {uri}"):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
