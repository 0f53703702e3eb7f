"""The `azureml` names: each imports, is one thing everywhere, and what is not offered says so in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compat.conftest import Python
from toolkit import compat

ROOT = Path(compat.FOLDER) / "azureml"
MODULES = sorted(
    ".".join(["azureml", *file.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
    for file in ROOT.rglob("*.py")
)


def test_every_name_of_every_module_is_there(control: Python) -> None:
    code = """
import importlib, json
count = 0
for name in json.loads(MODULES):
    module = importlib.import_module(name)
    for one in dir(module):
        getattr(module, one)
        count += 1
print(count)
""".replace("MODULES", repr(json.dumps(MODULES)))
    assert int(control(code)) > 300


def test_all_modules_can_be_imported_in_a_run(script: Python) -> None:
    code = f"""
import importlib
for name in {MODULES!r}:
    module = importlib.import_module(name)
    for one in dir(module):
        getattr(module, one)
from azureml.train.hyperdrive import *
print(choice, BanditPolicy, RandomParameterSampling)
"""
    assert "<toolkit.choice" in script(code)


def test_the_names_are_the_toolkit_s_own(control: Python) -> None:
    said = control("""
import azureml, azureml.core, toolkit
from azureml.core import Workspace, Experiment, Environment, ScriptRunConfig, Run, VERSION, get_run
from azureml.core.workspace import Workspace as W
from azureml.core.compute_target import ComputeTargetException as A
from azureml.core.compute import ComputeTargetException as B
from azureml.exceptions import ComputeTargetException as C, AzureMLException, UserErrorException
from azureml.exceptions._azureml_exception import ComputeTargetException as D
assert Workspace is toolkit.Workspace is W and Run is toolkit.Run and Environment is toolkit.Environment
assert A is B is C is D is toolkit.ComputeTargetException and issubclass(UserErrorException, AzureMLException)
assert A("gone").message == "gone" and str(A(exception_message="gone")) == "gone"
assert azureml.core.VERSION == azureml.core.__version__ == VERSION == "1.61.0"
assert azureml.core.compute.ComputeTarget and azureml.core.model.Model, "sub-modules are there without an import"
from azureml.train.hyperdrive import *
print(choice(1, 2), RandomParameterSampling)
""")
    assert "toolkit.sweeps" in said


def test_offline_runs_are_told_as_they_were(script: Python) -> None:
    said = script("""
from azureml.core import Run
from azureml.core.run import _OfflineRun
run = Run.get_context()
assert isinstance(run, _OfflineRun) and isinstance(run, Run) and run.id.startswith("OfflineRun_")
run.log("loss", 0.5)
print(hasattr(run, "experiment"))
""")
    assert said == "Attempted to log scalar metric loss:\n0.5\nTrue\n"


def test_a_script_imports_little(script: Python) -> None:
    said = script("import sys, json; from azureml.core import Run, Dataset, Model; print(json.dumps([*sys.modules]))")
    loaded = {name.partition(".")[0] for name in json.loads(said)}
    assert not loaded & {"mlflow", "pandas", "numpy", "fsspec", "pyarrow", "asyncio", "subprocess", "inspect"}


# -- what is not offered ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "what"),
    [
        ("azureml.train.automl", "automated machine learning"),
        ("azureml.train.automl.run", "automated machine learning"),
        ("azureml.automl.core.shared.constants", "automated machine learning"),
        ("azureml.pipeline.core.schedule", "pipelines"),
        ("azureml.dataprep", "data preparation"),
        ("azureml.datadrift", "data drift monitors"),
        ("azureml.opendatasets", "open data sets"),
        ("azureml.interpret", "model explanation"),
        ("azureml.contrib.services.aml_request", "web services"),
        ("azureml.contrib.anything", "a preview of Azure ML"),
        ("azureml.accel.models", "FPGA"),
        ("azureml.studio.core.logger", "designer"),
        ("azureml.tensorboard", "TensorBoard"),
        ("azureml._restclient.run_client", "a client of Azure's services"),
        ("azureml.never.heard.of", "a part of Azure ML"),
    ],
)
def test_a_namespace_that_is_not_offered(module: str, what: str, control: Python) -> None:
    said = control(f"""
try:
    import {module}
except ImportError as error:
    print(error)
from toolkit import NotOffered
try:
    from {module} import anything
except NotOffered as error:
    print(error.message)
""")
    first, second = said.splitlines()
    assert first == second and what in first and "which the toolkit does not offer; instead: " in first


def test_single_names_import_and_fail_where_they_are_used(control: Python) -> None:
    said = control("""
from azureml.core.model import InferenceConfig, Model
from azureml.core.webservice import AciWebservice, Webservice
from azureml.core import Image
from azureml.core.compute import AksCompute
from toolkit import NotOffered
for use in (
    lambda: InferenceConfig(entry_script="score.py"),
    lambda: AciWebservice.deploy_configuration(cpu_cores=1),
    lambda: type("Mine", (Webservice,), {}),
    lambda: Image.create,
    lambda: AksCompute.provisioning_configuration(),
):
    try:
        use()
    except NotOffered as error:
        print(error)
assert not isinstance(3, Webservice) and isinstance(Webservice, type) and not issubclass(int, Webservice)
assert not hasattr(AksCompute, "attach") and Webservice.__name__ == "Webservice"
""")
    lines = said.splitlines()
    assert len(lines) == 5
    assert all("which the toolkit does not offer; instead: " in line for line in lines)
    assert lines[0].startswith("azureml.core.model.InferenceConfig is deployment as a web service")


def test_a_name_that_never_was(control: Python) -> None:
    said = control("""
try:
    from azureml.core import ComputerTarget
except ImportError as error:
    print(error)
try:
    import azureml.core.nothing
except ModuleNotFoundError as error:
    print(error)
""")
    assert said.splitlines()[0].startswith("cannot import name 'ComputerTarget' from 'azureml.core'")
    assert said.splitlines()[1] == "No module named 'azureml.core.nothing'"


def test_what_only_control_scripts_need_says_so_in_a_run(script: Python) -> None:
    said = script("""
from azureml.core import Environment, Experiment, ScriptRunConfig
from toolkit import Experiment as Same
try:
    ScriptRunConfig(source_directory=".", script="train.py")
except Exception as error:
    print(type(error).__name__, error)
""")
    assert said == (
        "NotOffered ScriptRunConfig is for control scripts: inside a run it needs the whole toolkit, so add the "
        "toolkit to the pip section of the script's environment, or leave it to the script that submits\n"
    )


def test_small_things(control: Python) -> None:
    said = control("""
from azureml.telemetry import set_diagnostics_collection
set_diagnostics_collection(send_diagnostics=True)
set_diagnostics_collection(send_diagnostics=True)
from azureml.core.resource_configuration import ResourceConfiguration
assert ResourceConfiguration(cpu=1, memory_in_gb=0.5).serialize() == {"cpu": 1, "memoryInGB": 0.5, "gpu": None}
from azureml._restclient.constants import RunStatus
assert RunStatus.COMPLETED == "Completed" and "Running" in RunStatus.get_running_statuses()
from azureml.core import Environment
from azureml.core.runconfig import DEFAULT_CPU_IMAGE
from azureml.core.authentication import InteractiveLoginAuthentication, ServicePrincipalAuthentication
auth = ServicePrincipalAuthentication("tenant", "id", service_principal_password="secret")
assert InteractiveLoginAuthentication(tenant_id="x").get_authentication_header() == {}
assert "secret" not in str(vars(auth))
""")
    assert said == (
        "toolkit: set_diagnostics_collection does nothing: no diagnostics are sent\n"
        "toolkit: ServicePrincipalAuthentication: nobody has to sign in, so it is not used\n"
    )


def test_the_trick_that_lifts_the_limit_of_a_snapshot(control: Python, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "train.py").write_text("print('here')")
    (tmp_path / "source" / "large.bin").write_bytes(bytes(2_000_000))
    code = """
import azureml._restclient.snapshots_client as client
from azureml.core import Experiment, ScriptRunConfig, Workspace
from azureml.exceptions import SnapshotException
workspace = Workspace.create("mine", exist_ok=True)
workspace.paths.configuration.write_text("snapshot_limit_mb: 1\\nagent_idle_seconds: 0\\n")
config = ScriptRunConfig("source", script="train.py")
try:
    Experiment(workspace, "e").submit(config)
except SnapshotException as error:
    print(error.message.partition(":")[0])
client.SNAPSHOT_MAX_SIZE_BYTES = 1_000_000_000
print(Experiment(workspace, "e").submit(config).wait_for_completion()["status"])
"""
    assert control(code).splitlines()[-2:] == ["Your total snapshot size exceeds the limit of 1 MB", "Completed"]
