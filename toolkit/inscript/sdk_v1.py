"""Small things of Azure ML SDK v1 that scripts import and that have no home of their own."""

import sys
from typing import Any, Dict, List, Optional

DEFAULT_IMAGE = None
"""The default base image, for CPUs and GPUs: as `docker.base_image` has it, None is the compute target's own."""

PYPI = "https://pypi.python.org/simple"
PYTHON_DEFAULT_VERSION = "3.10.18"
INSTRUMENTATION_KEY = ""


class ResourceConfiguration:
    """The resources that a model asks of whoever serves it; kept with the model."""

    def __init__(
        self, cpu: Optional[float] = None, memory_in_gb: Optional[float] = None, gpu: Optional[int] = None
    ) -> None:
        self.cpu = cpu
        self.memory_in_gb = memory_in_gb
        self.gpu = gpu

    def serialize(self) -> Dict[str, Any]:
        return {"cpu": self.cpu, "memoryInGB": self.memory_in_gb, "gpu": self.gpu}


class RunStatus:
    """The statuses of runs."""

    QUEUED = "Queued"
    NOT_STARTED = "NotStarted"
    PREPARING = "Preparing"
    PROVISIONING = "Provisioning"
    STARTING = "Starting"
    RUNNING = "Running"
    CANCEL_REQUESTED = "CancelRequested"
    CANCELED = "Canceled"
    FINALIZING = "Finalizing"
    COMPLETED = "Completed"
    FAILED = "Failed"
    UNAPPROVED = "Unapproved"
    NOTRESPONDING = "NotResponding"
    PAUSING = "Pausing"
    PAUSED = "Paused"

    @classmethod
    def get_running_statuses(cls) -> List[str]:
        """The statuses of runs that have not ended and are not about to."""
        ended = (cls.CANCELED, cls.COMPLETED, cls.FAILED, cls.CANCEL_REQUESTED, cls.FINALIZING)
        return [value for name, value in vars(cls).items() if name.isupper() and value not in ended]


def get_run(experiment: Any, run_id: str, rehydrate: bool = True, clean_up: bool = True) -> Any:
    """The run of this id, as the class that its type has."""
    return experiment.workspace.get_run(run_id)


def get_run_config_from_script_run(script_run_config: Any) -> Any:
    """The `RunConfiguration` of a `ScriptRunConfig`."""
    return script_run_config.run_config


_said = False


def set_diagnostics_collection(send_diagnostics: bool = True, verbose: bool = True) -> None:
    """Nothing to set: the toolkit sends nothing to anybody."""
    global _said
    if verbose and not _said:
        _said = True
        print("toolkit: set_diagnostics_collection does nothing: no diagnostics are sent", file=sys.stderr)
