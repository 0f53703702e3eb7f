"""`run.register_model`: an artifact of a run becomes a version of a registered model."""

from typing import Any, Dict, List, Optional, Tuple

from toolkit.inscript import details
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.rundir import RunDirectory

TRAINED_MODEL = "outputs/trained_model_outputs"  # where Train PyTorch Model leaves what is to be registered
_SHOWN = 20


class RegistersModels:
    """The part of a run that registers models."""

    _directory: RunDirectory

    def register_model(
        self,
        model_name: str,
        model_path: Optional[str] = None,
        tags: Optional[Dict[str, Any]] = None,
        properties: Optional[Dict[str, Any]] = None,
        model_framework: Optional[str] = None,
        model_framework_version: Optional[str] = None,
        description: Optional[str] = None,
        datasets: Optional[Any] = None,
        sample_input_dataset: Optional[Any] = None,
        sample_output_dataset: Optional[Any] = None,
        resource_configuration: Optional[Any] = None,
        **kwargs: Any,
    ) -> Any:
        """Register a file or a folder of the run as a new version of a model in MLflow's model registry.

        Args:
            model_name: the model; it is made where it is new.
            model_path: the artifact, as in "outputs/model"; by default the one called `model_name`, else what Train
                PyTorch Model left (`outputs/trained_model_outputs`).
            tags: tags of the version, which may change.
            properties: properties of the version, which never do.
            model_framework, model_framework_version, description: kept with the version.
            datasets: `[(scenario, data set)]`.

        Returns:
            the `Model`.

        Raises:
            UserErrorException: the run has no such artifact, or MLflow does not take the name; or, from a control
                script, the run goes on and its outputs may not be complete.
            TrackingError: MLflow cannot be reached; inside a run a `ToolkitError` says that nobody answers.
        """
        from toolkit.inscript.model import checked_name, texts
        from toolkit.inscript.model_facts import facts_of

        facts = facts_of(
            model_framework,
            model_framework_version,
            datasets,
            sample_input_dataset,
            sample_output_dataset,
            resource_configuration,
        )
        fields = {
            "name": checked_name(model_name),
            "tags": texts("tags", tags),
            "properties": texts("properties", properties),
            "description": description,
            "facts": facts,
        }
        return self._register_model(fields, None if model_path is None else str(model_path))

    def _register_model(self, fields: Dict[str, Any], model_path: Optional[str]) -> Any:
        """In a script: have it kept as it is now."""
        from toolkit.inscript import model_registry
        from toolkit.inscript.model import Model

        workspace = self.experiment.workspace  # type: ignore[attr-defined]
        files = details.files(self._directory)
        if model_registry.run_to_ask(workspace) is not None:
            fields = dict(fields, run=self._directory.id)
        else:  # an offline run, which its workspace does not know: what it left in the current folder is its own too
            files = files + list(details.below("outputs", "outputs"))
        path = place_of(files, find_artifact([name for name, _ in files], fields["name"], model_path))
        return Model._of_record(workspace, model_registry.register(workspace, path, None, fields))


def find_artifact(files: List[str], model_name: str, model_path: Optional[str]) -> str:
    """The file or folder that is registered: by default the one called like the model, else a trained network.

    Raises:
        UserErrorException: the run has no such artifact; the message says which it has.
    """
    candidates = [model_name, TRAINED_MODEL] if model_path is None else [model_path]
    for candidate in candidates:
        path = candidate[2:] if candidate.startswith("./") else candidate
        path = path.strip("/")
        if any(name == path or name.startswith("%s/" % path) for name in files):
            return path
    shown = ", ".join(files[:_SHOWN]) + (" and %d more" % (len(files) - _SHOWN) if len(files) > _SHOWN else "")
    raise UserErrorException(
        "Could not locate the provided model_path %s in the set of files uploaded to the run: %s"
        % (" or ".join(candidates), shown or "none")
    )


def place_of(files: List[Tuple[str, str]], artifact: str) -> str:
    """Where an artifact of `files` (names with their paths) is: a file, or the folder of its files."""
    for name, path in files:
        if name == artifact:
            return path
    inside = [(name, path) for name, path in files if name.startswith(artifact + "/")]
    name, path = inside[0]
    return path[: len(path) - len(name[len(artifact) :])]
