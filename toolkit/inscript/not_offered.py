"""What the toolkit does not have of Azure ML SDK v1: one table of what each thing is, and what to use instead.

A whole namespace fails where it is imported. A single name of an offered module can be imported, since scripts import
more than they use, and fails where it is used.
"""

import sys
from typing import Any, Dict, Optional, Sequence, Tuple

from toolkit.inscript.errors import AttributeNotOffered, ModuleNotOffered, NotOffered

_SERVING = "serve a registered model with `mlflow models serve`, or load it from Model.download() in a service of yours"
_COMPUTE = "use a compute target of the workspace's workspace.yaml (`local`, `docker`, …) or AmlCompute"
_PIPELINE = "until they come, submit the steps one after the other, each a ScriptRunConfig, and wait for each"
_AUTOML = "write the training as a script and tune it with a sweep (HyperDriveConfig)"
_EXPLAIN = "use the interpret or shap packages in the script, and keep their results with Run.upload_file"
_PANDAS = "read the data with Dataset.Tabular or with pandas"
_LABELS = "export the labels once and read them with pandas"
_SPARK = "run Spark from a script of your own"

# module below azureml, or module.name -> (what it is, what to use instead); the longest that fits holds
_TABLE: Dict[str, Tuple[str, str]] = {
    "train.automl": ("automated machine learning", _AUTOML),
    "automl": ("automated machine learning", _AUTOML),
    "contrib.automl": ("automated machine learning", _AUTOML),
    "train.restclients": ("a client of Azure's services", "use Run and Experiment"),
    "pipeline": ("pipelines", _PIPELINE),
    "contrib.pipeline": ("pipelines", _PIPELINE),
    "contrib.notebook": ("pipelines of notebooks", _PIPELINE),
    "contrib.train.rl": ("reinforcement learning on Azure's clusters", "start Ray's RLlib from a script"),
    "contrib.gbdt": ("LightGBM on Azure's clusters", "call lightgbm in a script"),
    "contrib.dataset": ("labelled data sets of Azure's labelling projects", _LABELS),
    "contrib.services": ("a part of Azure's web services", _SERVING),
    "contrib.server": ("a part of Azure's web services", _SERVING),
    "contrib.functions": ("deployment to Azure Functions", _SERVING),
    "contrib.fairness": ("Azure's fairness dashboard", "use fairlearn in the script, and log its figures"),
    "contrib.explain": ("model explanation", _EXPLAIN),
    "contrib.interpret": ("model explanation", _EXPLAIN),
    "contrib": ("a preview of Azure ML", "see docs/migrating.md for what there is"),
    "explain": ("model explanation", _EXPLAIN),
    "interpret": ("model explanation", _EXPLAIN),
    "responsibleai": ("model explanation", _EXPLAIN),
    "accel": ("FPGA models", "use a GPU"),
    "api": ("a part of Azure's web services", _SERVING),
    "monitoring": ("data collection of Azure's web services", _SERVING),
    "datadrift": ("data drift monitors", "compare the two data sets in a script, with evidently or scipy, and log it"),
    "dataprep": ("Azure's data preparation", _PANDAS),
    "dataset.runtime": ("Azure's data preparation", _PANDAS),
    "opendatasets": ("Azure's open data sets", "download the data and make a Dataset of it"),
    "studio": ("the designer's own modules", "`toolkit vision` has the image ones; read tables with pandas"),
    "designer": ("the designer's own modules", "`toolkit vision` has the image ones; read tables with pandas"),
    "tensorboard": ("TensorBoard for runs", "start tensorboard on the run's logs folder, or `toolkit ui`"),
    "evaluate": ("Azure's model evaluation", "use mlflow.evaluate"),
    "metrics": ("Azure's model evaluation", "use mlflow.evaluate"),
    "mlflow": (
        "MLflow's plug-in for Azure",
        "use mlflow itself: Workspace.get_mlflow_tracking_uri() is where runs are",
    ),
    "rai": ("Azure's responsible AI dashboard", _EXPLAIN),
    "_restclient": ("a client of Azure's services", "use Run and Experiment"),
    "_cli": ("Azure's command line", "use the `toolkit` command"),
    "_project": ("an inner part of azureml-core", "use Run and Experiment"),
    "_base_sdk_common": ("an inner part of azureml-core", "use Run and Experiment"),
    "core.webservice": ("deployment as a web service", _SERVING),
    "core.image": ("images of web services", _SERVING),
    "core.profile": ("profiling of web services", _SERVING),
    "core.authentication": ("signing in to Azure", "leave it out: nobody signs in here"),
    "core.compute": ("a compute of Azure", _COMPUTE),
    "core.compute_target": ("a compute of Azure", _COMPUTE),
    "core.linked_service": ("a link to Azure Synapse", _SPARK),
    "core.model": ("deployment as a web service", _SERVING),
    "core.Image": ("images of web services", _SERVING),
    "core.Webservice": ("deployment as a web service", _SERVING),
    "core.LinkedService": ("a link to Azure Synapse", _SPARK),
    "core.SynapseWorkspaceLinkedServiceConfiguration": ("a link to Azure Synapse", _SPARK),
    "core.private_endpoint": ("a private endpoint of Azure", "leave it out: a workspace is a folder of this machine"),
    "core.databricks": ("Azure Databricks", _SPARK),
    "core.runconfig": ("a setting for Spark or Azure Batch", _SPARK),
    "core.environment": ("a section for Spark or R", "make an image with it and name that in docker.base_image"),
    "core.environment.DockerBuildContext": (
        "a folder to build images from",
        "build the image with `docker build` and name it in docker.base_image, or set docker.base_dockerfile",
    ),
    "data.azure_data_lake_datastore": ("a datastore in Azure", "register a datastore with an fsspec URL"),
    "data": ("data in a service of Azure", "read it in the script, or export it to files and make a Dataset of them"),
}


def sentence(name: str) -> str:
    """What is to be said of a name of Azure ML SDK v1 that the toolkit does not have."""
    what, instead = _entry(name) or ("a part of Azure ML", "see docs/migrating.md for what there is")
    return "%s is %s, which the toolkit does not offer; instead: %s" % (name, what, instead)


def _entry(name: str) -> Optional[Tuple[str, str]]:
    parts = name.split(".")[1:]
    while parts:
        if ".".join(parts) in _TABLE:
            return _TABLE[".".join(parts)]
        parts.pop()
    return None


class _Placeholder(type):
    """The type of classes that can be imported, named and compared, and nothing else."""

    def __new__(cls, name: str, bases: Tuple[type, ...], namespace: Dict[str, Any]) -> "_Placeholder":
        for base in bases:
            if isinstance(base, _Placeholder):
                raise NotOffered(base.__doc__)
        return type.__new__(cls, name, bases, namespace)

    def __call__(cls, *args: object, **kwargs: object) -> Any:
        raise NotOffered(cls.__doc__)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("_"):  # what Python and its tools ask of any class
            raise AttributeError(name)
        raise AttributeNotOffered(cls.__doc__)

    def __repr__(cls) -> str:
        return "<%s.%s: not offered>" % (cls.__module__, cls.__name__)


def placeholder(module: str, name: str) -> Any:
    """What stands for a name that an offered module does not have: it raises `NotOffered` when it is used."""
    return _Placeholder(name, (), {"__doc__": sentence("%s.%s" % (module, name)), "__module__": module})


def for_control_scripts(name: str) -> Any:
    """What stands, inside a run, for a name that needs the whole toolkit."""
    text = (
        "%s is for control scripts: inside a run it needs the whole toolkit, so add the toolkit to the pip section of "
        "the script's environment, or leave it to the script that submits" % name
    )
    return _Placeholder(name, (), {"__doc__": text, "__module__": "toolkit"})


class Finder:
    """The last of the finders of modules: says what is not offered where nobody else has a module of `azureml`."""

    @staticmethod
    def find_spec(name: str, path: Optional[Sequence[str]] = None, target: object = None) -> None:
        if not name.startswith("azureml."):
            return
        parent = sys.modules.get(name.rpartition(".")[0])
        if _whole(name) or (parent is not None and parent.__name__ in ("azureml", "azureml.train")):
            raise ModuleNotOffered(sentence(name))


def _whole(name: str) -> bool:
    """Whether the table has the module itself or one around it, other than an offered one."""
    entry = _entry(name)
    return entry is not None and entry is not _TABLE["data"]
