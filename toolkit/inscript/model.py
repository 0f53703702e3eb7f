"""`Model`: a version of a registered model, for control scripts and for scripts inside runs."""

import os
import shutil
import time
from typing import Any, Dict, List, Optional

from toolkit.inscript import model_registry
from toolkit.inscript.errors import (
    ModelNotFoundException,
    RunEnvironmentException,
    UserErrorException,
    WebserviceException,
)
from toolkit.inscript.model_facts import facts_of, read_dataset, read_datasets, read_resources
from toolkit.inscript.model_serving import NotServed


class Framework:
    """The frameworks that Azure ML SDK v1 had names for; any other text is taken as well."""

    CUSTOM = "Custom"
    TENSORFLOW = "TensorFlow"
    SCIKITLEARN = "ScikitLearn"
    ONNX = "Onnx"
    PYTORCH = "PyTorch"
    MULTI = "Multi"


class Model(NotServed):
    """A registered model: its highest version that has all that is asked for.

    Args:
        workspace: the workspace; in a run, `run.experiment.workspace`.
        name, id: one of them; an id is "name:version".
        tags, properties: keys that it must have, or `[key, value]` pairs, as in `["kind", ["stage", "test"]]`; or a
            dictionary.
        version: of the versions of `name`, this one.
        run_id: of the run that registered it.

    Raises:
        ModelNotFoundException: there is no such model.
    """

    Framework = Framework

    def __init__(
        self,
        workspace: Any,
        name: Optional[str] = None,
        id: Optional[str] = None,
        tags: Optional[Any] = None,
        properties: Optional[Any] = None,
        version: Optional[int] = None,
        run_id: Optional[str] = None,
        model_framework: Optional[str] = None,
        expand: bool = True,
        **kwargs: object,
    ) -> None:
        if not name and not id:
            raise WebserviceException("Error, one of id or name must be provided.")
        asked = "id %s" % id if id else "name %s" % name
        if id:
            name, _, of_id = str(id).rpartition(":")
            version = _version(of_id if name else None, "Model(id=%r): an id is 'name:version'" % id)
        wanted = _version(version, "Model(version=%r): a version is a whole number from 1" % (version,))
        filters = {"tags": tags, "properties": properties, "run_id": run_id, "framework": model_framework}
        found = model_registry.call(workspace, "find", dict(_given(filters), name=name, version=wanted))
        if not found:
            if version is not None and not id:
                asked += ", version %s" % version
            asked += "".join(", %s %s" % (key, value) for key, value in filters.items() if value)
            raise ModelNotFoundException("ModelNotFound: Model with %s not found in provided workspace" % asked)
        self.workspace = workspace
        self._read(max(found, key=lambda record: int(record["version"])))

    @classmethod
    def _of_record(cls, workspace: Any, record: Dict[str, Any]) -> "Model":
        """The model that the registry says this of."""
        model = cls.__new__(cls)
        model.workspace = workspace
        model._read(record)
        return model

    def _read(self, record: Dict[str, Any]) -> None:
        self._record = record
        self.name = str(record["name"])
        self.version = int(record["version"])
        self.id = "%s:%d" % (self.name, self.version)
        self.description = str(record["description"])
        self.tags: Dict[str, str] = record["tags"]
        self.properties: Dict[str, str] = record["properties"]
        self.uri = str(record["uri"])
        self.url = self.uri
        self.run_id: Optional[str] = record["run_id"] or None
        self.experiment_name: Optional[str] = record["experiment"] or None
        self.model_framework: Optional[str] = record["framework"] or None
        self.model_framework_version: Optional[str] = record["framework_version"] or None
        self.created_by = {"userName": record["created_by"]}
        self.mime_type = "application/x-python"
        self.unpack = bool(record["folder"])
        self.resource_configuration = read_resources(record["resource_configuration"])
        self.parent_id: Optional[str] = None
        self.derived_model_ids: List[str] = []

    def __repr__(self) -> str:
        return "Model(workspace=%r, name=%s, id=%s, version=%d, tags=%r, properties=%r)" % (
            self.workspace,
            self.name,
            self.id,
            self.version,
            self.tags,
            self.properties,
        )

    @property
    def created_time(self) -> Any:
        """When it was registered: a datetime in UTC."""
        import datetime

        return datetime.datetime.fromtimestamp(self._record["created"], datetime.timezone.utc)

    @property
    def datasets(self) -> Dict[str, List[Any]]:
        """The data sets that it was registered with, by scenario: objects, or the facts of those that are gone."""
        return read_datasets(self.workspace, self._record["datasets"])

    @property
    def sample_input_dataset(self) -> Any:
        """A sample of what goes into the model, or None."""
        return read_dataset(self.workspace, self._record["sample_input_dataset"])

    @property
    def sample_output_dataset(self) -> Any:
        """A sample of what comes out of the model, or None."""
        return read_dataset(self.workspace, self._record["sample_output_dataset"])

    @property
    def run(self) -> Any:
        """The run that it came from, or None; inside a run only that run itself and its kin can be seen."""
        find = getattr(self.workspace, "get_run", None)
        return find(self.run_id) if find is not None and self.run_id else None

    # -- registering and finding ----------------------------------------------------------------------------------

    @staticmethod
    def register(
        workspace: Any,
        model_path: str,
        model_name: str,
        tags: Optional[Dict[str, Any]] = None,
        properties: Optional[Dict[str, Any]] = None,
        description: Optional[str] = None,
        datasets: Optional[Any] = None,
        model_framework: Optional[str] = None,
        model_framework_version: Optional[str] = None,
        child_paths: Optional[List[str]] = None,
        sample_input_dataset: Optional[Any] = None,
        sample_output_dataset: Optional[Any] = None,
        resource_configuration: Optional[Any] = None,
        **kwargs: object,
    ) -> "Model":
        """Register a local file or folder as a new version of a model. What becomes of it later does not matter.

        Args:
            child_paths: of a folder, these files and folders alone.
            datasets: `[(scenario, data set)]`.

        Raises:
            ModelPathNotFoundException: there is no such file or folder.
            UserErrorException: MLflow does not take the name.
        """
        fields = {
            "name": checked_name(model_name),
            "tags": texts("tags", tags),
            "properties": texts("properties", properties),
            "description": description,
            "facts": facts_of(
                model_framework,
                model_framework_version,
                datasets,
                sample_input_dataset,
                sample_output_dataset,
                resource_configuration,
            ),
        }
        record = model_registry.register(workspace, str(model_path), child_paths, fields)
        return Model._of_record(workspace, record)

    @staticmethod
    def list(
        workspace: Any,
        name: Optional[str] = None,
        tags: Optional[Any] = None,
        properties: Optional[Any] = None,
        run_id: Optional[str] = None,
        latest: bool = False,
        dataset_id: Optional[str] = None,
        expand: bool = True,
        page_count: int = 255,
        model_framework: Optional[str] = None,
    ) -> "List[Model]":
        """The registered models that have all that is asked for, the newest first; filters as of `Model(...)`.

        Args:
            latest: of each name only its highest version.
        """
        filters = {"tags": tags, "properties": properties, "run_id": run_id, "framework": model_framework}
        filters["dataset_id"] = dataset_id
        found = model_registry.call(workspace, "find", dict(_given(filters), name=name, latest=bool(latest)))
        return [Model._of_record(workspace, record) for record in found]

    @staticmethod
    def get_model_path(model_name: str, version: Optional[int] = None, _workspace: Optional[Any] = None) -> str:
        """The path of a model's file or folder on this machine; fetched where it is not there yet.

        Inside a run, or with a workspace, the model comes from the registry. Elsewhere it has to lie in
        `azureml-models/<name>/<version>/`, here or below AZUREML_MODEL_DIR.

        Raises:
            ModelNotFoundException: there is no such model.
        """
        wanted = _version(version, "get_model_path(version=%r): a version is a whole number from 1" % (version,))
        if _workspace is None:
            from toolkit.inscript.run import current

            try:
                _workspace = current(allow_offline=False).experiment.workspace
            except RunEnvironmentException:
                return model_registry.lying_here(model_name, wanted)
        return model_registry.fetch(_workspace, model_name, wanted)

    # -- files ----------------------------------------------------------------------------------------------------

    def download(self, target_dir: str = ".", exist_ok: bool = False, exists_ok: Optional[bool] = None) -> str:
        """Copy the model's file or folder into `target_dir`, which is made. Returns its path there.

        Raises:
            WebserviceException: it is there already, and `exist_ok` is False.
        """
        if exists_ok is not None:
            exist_ok = exists_ok
        artifact = self._record["artifact"]
        source = None
        if artifact:
            base = os.path.basename(artifact)
        else:  # its name is known when it is there
            source = self._fetched()
            base = os.path.basename(source)
        target = os.path.join(target_dir, base)
        if os.path.exists(target) and not exist_ok:
            raise WebserviceException("File already exists. To overwrite, set exist_ok to True. %s" % target)
        if model_registry.run_to_ask(self.workspace) is None:
            fields = {"name": self.name, "version": self.version, "folder": os.path.abspath(target_dir)}
            model_registry.call(self.workspace, "download", fields)
            return target
        os.makedirs(target_dir, exist_ok=True)
        if os.path.isdir(target) and not os.path.islink(target):
            shutil.rmtree(target)
        source = source or self._fetched()
        copy = shutil.copytree if os.path.isdir(source) else shutil.copyfile
        copy(source, target)
        return target

    def _fetched(self) -> str:
        return model_registry.fetch(self.workspace, self.name, self.version)

    def get_sas_urls(self) -> Dict[str, str]:
        """The model's address by its file: there are no signed URLs here, and `models:/…` opens it in MLflow."""
        return {os.path.basename(self._record["artifact"]) or self.name: self.uri}

    # -- changing -------------------------------------------------------------------------------------------------

    def update(
        self,
        tags: Optional[Dict[str, Any]] = None,
        description: Optional[str] = None,
        sample_input_dataset: Optional[Any] = None,
        sample_output_dataset: Optional[Any] = None,
        resource_configuration: Optional[Any] = None,
    ) -> None:
        """Change what is given: `tags` are then all the tags that the model has."""
        facts = facts_of(None, None, None, sample_input_dataset, sample_output_dataset, resource_configuration)
        self._update(tags=texts("tags", tags), description=description, facts=facts)

    def update_tags_properties(
        self,
        add_tags: Optional[Dict[str, Any]] = None,
        remove_tags: Optional[Any] = None,
        add_properties: Optional[Dict[str, Any]] = None,
    ) -> None:
        """Add and remove tags, and add properties.

        Raises:
            UserErrorException: a property is there already with another value; nothing was changed.
        """
        removed = [remove_tags] if isinstance(remove_tags, str) else [str(key) for key in remove_tags or []]
        self._update(
            add_tags=texts("add_tags", add_tags),
            remove_tags=removed or None,
            add_properties=texts("add_properties", add_properties),
        )

    def add_tags(self, tags: Dict[str, Any]) -> None:
        """Set tags; those that are not named stay."""
        self.update_tags_properties(add_tags=tags)

    def remove_tags(self, tags: Any) -> None:
        """Remove tags, one name or several."""
        self.update_tags_properties(remove_tags=tags)

    def add_properties(self, properties: Dict[str, Any]) -> None:
        """Add properties, which never change again.

        Raises:
            UserErrorException: one is there already with another value; nothing was changed.
        """
        self.update_tags_properties(add_properties=properties)

    def add_dataset_references(self, datasets: Any) -> None:
        """Say of more data sets, `[(scenario, data set)]`, what they were to the model."""
        more = facts_of(None, None, datasets, None, None, None)["datasets"] or []
        self._update(facts={"datasets": (self._record["datasets"] or []) + more})

    def _update(self, **changes: Any) -> None:
        fields = dict(_given(changes), name=self.name, version=self.version)
        self._read(model_registry.call(self.workspace, "update", fields))

    def delete(self) -> None:
        """Delete this version; the run that it came from keeps its files."""
        model_registry.call(self.workspace, "delete", {"name": self.name, "version": self.version})

    # -- as JSON --------------------------------------------------------------------------------------------------

    def serialize(self) -> Dict[str, Any]:
        """The model as JSON, under the keys that Azure ML SDK v1 had."""
        return {
            "createdTime": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._record["created"])),
            "createdBy": self.created_by,
            "description": self.description,
            "id": self.id,
            "mimeType": self.mime_type,
            "name": self.name,
            "framework": self.model_framework,
            "frameworkVersion": self.model_framework_version,
            "tags": self.tags,
            "properties": self.properties,
            "unpack": self.unpack,
            "url": self.url,
            "version": self.version,
            "workspaceName": self.workspace.name,
            "experimentName": self.experiment_name,
            "runId": self.run_id,
            "sampleInputDatasetId": (self._record["sample_input_dataset"] or {}).get("id"),
            "sampleOutputDatasetId": (self._record["sample_output_dataset"] or {}).get("id"),
            "resourceRequirements": self._record["resource_configuration"],
            "parentId": self.parent_id,
            "derivedModelIds": self.derived_model_ids,
        }

    @staticmethod
    def deserialize(workspace: Any, model_payload: Dict[str, Any]) -> "Model":
        """The model that `serialize` made this JSON of.

        Raises:
            ModelNotFoundException: the workspace does not have it.
        """
        return Model(workspace, id=model_payload["id"])


def _version(version: Any, otherwise: str) -> Optional[int]:
    if version is None:
        return None
    try:
        return int(version)
    except (TypeError, ValueError):
        raise WebserviceException(otherwise)


def _given(fields: Dict[str, Any]) -> Dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def checked_name(name: Any) -> str:
    """The name of a model that is to be registered, as it is; MLflow refuses some more.

    Raises:
        UserErrorException: it is no text, or empty or too long for a file system.
    """
    if not isinstance(name, str) or not 0 < len(name.encode("utf-8", "replace")) <= 255:
        raise UserErrorException("%.80r cannot be the name of a model: use 1 to 255 characters" % (name,))
    return name


def texts(what: str, pairs: Optional[Dict[str, Any]]) -> Optional[Dict[str, str]]:
    if pairs is None:
        return None
    if not isinstance(pairs, dict):
        raise WebserviceException("%s must be a dictionary of texts, not %r" % (what, pairs))
    return {str(key): "" if value is None else str(value) for key, value in pairs.items()}
