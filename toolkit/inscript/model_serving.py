"""What Azure ML SDK v1 did with models beyond registering them: said to be not offered, where a script calls it."""

from typing import Any, Optional

from toolkit.inscript.errors import NotOffered

_NOT_OFFERED = (
    "Model.%s(...) of Azure ML SDK v1 is not offered: the toolkit registers models and serves none; instead, with "
    "MLFLOW_TRACKING_URI=workspace.get_mlflow_tracking_uri(): `mlflow models serve -m %s` or `mlflow models "
    "build-docker -m %s`"
)


class NotServed:
    """The part of a model that is about serving it."""

    @staticmethod
    def deploy(
        workspace: Any,
        name: str,
        models: Any,
        inference_config: object = None,
        deployment_config: object = None,
        deployment_target: object = None,
        overwrite: bool = False,
        show_output: bool = False,
    ) -> None:
        raise NotOffered(_not_offered("deploy", models))

    @staticmethod
    def package(
        workspace: Any,
        models: Any,
        inference_config: object = None,
        generate_dockerfile: bool = False,
        image_name: Optional[str] = None,
        image_label: Optional[str] = None,
    ) -> None:
        raise NotOffered(_not_offered("package", models))

    @staticmethod
    def profile(
        workspace: Any,
        profile_name: str,
        models: Any,
        inference_config: object = None,
        input_dataset: object = None,
        cpu: Optional[float] = None,
        memory_in_gb: Optional[float] = None,
        description: Optional[str] = None,
    ) -> None:
        raise NotOffered(_not_offered("profile", models))

    @staticmethod
    def print_configuration(
        models: Any, inference_config: object, deployment_config: object, deployment_target: object
    ) -> None:
        raise NotOffered(_not_offered("print_configuration", models))


def _not_offered(call: str, models: Any) -> str:
    first = models[0] if isinstance(models, (list, tuple)) and models else models
    uri = getattr(first, "uri", "models:/NAME/VERSION")
    return _NOT_OFFERED % (call, uri, uri)
