"""What a model is registered with beside its files, as plain JSON, and back."""

from typing import Any, Dict, List, Optional

from toolkit.inscript.sdk_v1 import ResourceConfiguration


def facts_of(
    framework: Optional[str],
    framework_version: Optional[str],
    datasets: Optional[Any],
    sample_input_dataset: Optional[Any],
    sample_output_dataset: Optional[Any],
    resource_configuration: Optional[Any],
) -> Dict[str, Any]:
    """The facts of a model; what is None is not said.

    Args:
        datasets: `[(scenario, data set)]`.
    """
    resources = resource_configuration
    if resources is not None and not isinstance(resources, dict):
        resources = {
            "cpu": getattr(resources, "cpu", None),
            "memoryInGB": getattr(resources, "memory_in_gb", None),
            "gpu": getattr(resources, "gpu", None),
        }
    return {
        "framework": framework,
        "framework_version": None if framework_version is None else str(framework_version),
        "datasets": [[str(scenario), _dataset(one)] for scenario, one in datasets or []],
        "sample_input_dataset": _dataset(sample_input_dataset),
        "sample_output_dataset": _dataset(sample_output_dataset),
        "resource_configuration": resources,
    }


def _dataset(dataset: Optional[Any]) -> Optional[Dict[str, Any]]:
    """What is kept of a data set: by its id it is found again, its name and version are for people."""
    if dataset is None:
        return None
    found = {key: getattr(dataset, key, None) for key in ("name", "version", "id")}
    return {key: value if isinstance(value, int) else str(value) for key, value in found.items() if value is not None}


def read_datasets(workspace: Any, kept: Optional[List[Any]]) -> Dict[str, List[Any]]:
    """The data sets by scenario: as objects, or as what is known of those that are gone."""
    found: Dict[str, List[Any]] = {}
    for scenario, facts in kept or []:
        found.setdefault(scenario, []).append(read_dataset(workspace, facts))
    return found


def read_dataset(workspace: Any, facts: Optional[Dict[str, Any]]) -> Any:
    """One data set as an object, or what is known of it; None where none was given."""
    if facts is None:
        return None
    from toolkit.data.dataset import Dataset
    from toolkit.inscript.errors import UserErrorException

    try:
        return Dataset.get_by_id(workspace, str(facts.get("id")))
    except UserErrorException:
        return facts


def read_resources(kept: Optional[Dict[str, Any]]) -> Optional[ResourceConfiguration]:
    if not kept:
        return None
    return ResourceConfiguration(kept.get("cpu"), kept.get("memoryInGB"), kept.get("gpu"))
