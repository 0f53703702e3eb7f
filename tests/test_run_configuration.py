"""`RunConfiguration` and `DockerConfiguration`: what scripts of SDK v1 set on them, and their files."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log
from toolkit import Environment, Experiment, ScriptRunConfig, UserErrorException, Workspace
from toolkit.conda_dependencies import CondaDependencies
from toolkit.configuration import WorkspaceConfiguration
from toolkit.distributed import MpiConfiguration
from toolkit.docker_configuration import DockerConfiguration
from toolkit.run_configuration import RunConfiguration, effective_target
from toolkit.submit import define

V1_FILE = """\
# The arguments to the script file.
arguments: ["--epochs", 3]
# The name of the compute target to use for this run.
target: cpu-cluster
# Framework to execute inside. Allowed values are "Python" ,  "PySpark", "CNTK",  "TensorFlow", and "PyTorch".
framework: PyTorch
# Communicator for the given framework. Allowed values are "None" ,  "ParameterServer", "OpenMpi", and "IntelMpi".
communicator: IntelMpi
autoPrepareEnvironment: true
maxRunDurationSeconds: 120
nodeCount: 2
script: train.py
environment:
  name: project_environment
  environmentVariables:
    EXAMPLE_ENV_VAR: EXAMPLE_VALUE
    MINE: '1'
  python:
    userManagedDependencies: false
    interpreterPath: python
    condaDependenciesFile: .azureml/conda_dependencies.yml
  docker:
    enabled: true
    baseImage: mcr.microsoft.com/azureml/base:0.2.4
    sharedVolumes: true
    gpuSupport: false
    shmSize: 1g
    arguments: []
    baseImageRegistry:
      address:
      username:
      password:
  spark:
    repositories: []
    packages: []
    precachePackages: true
history:
  outputCollection: true
  snapshotProject: true
spark:
  configuration:
    spark.app.name: Azure ML Experiment
tensorflow:
  workerCount: 1
  parameterServerCount: 1
mpi:
  processCountPerNode: 3
dataReferences: {}
sourceDirectoryDataStore:
amlcompute:
  vmSize:
  clusterMaxNodeCount: 1
"""
CONDA = "name: project_environment\ndependencies: [python=3.11, {pip: [iniconfig]}]\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / ".azureml").mkdir(parents=True)
    (folder / ".azureml" / "mine.runconfig").write_text(V1_FILE)
    (folder / ".azureml" / "conda_dependencies.yml").write_text(CONDA)
    (folder / "train.py").write_text("import sys; print(sys.argv[1:])")
    return folder


def test_a_file_of_sdk_v1(project: Path) -> None:
    found = RunConfiguration.load(path=str(project), name="mine")
    assert (found.target, found.script, found.arguments) == ("cpu-cluster", "train.py", ["--epochs", 3])
    assert (found.framework, found.communicator, found.node_count) == ("PyTorch", "IntelMpi", 2)
    assert (found.mpi.process_count_per_node, found.max_run_duration_seconds) == (3, 120)
    assert found.environment.name == "project_environment"
    assert found.environment.environment_variables == {"MINE": "1"}
    assert found.environment.docker.enabled and found.environment.docker.shm_size == "1g"
    assert found.environment.docker.base_image is None, "Azure's default is no base of ours"
    assert [*found.environment.python.conda_dependencies.pip_packages] == ["iniconfig"]
    assert found.spark.configuration == {"spark.app.name": "Azure ML Experiment"}
    assert RunConfiguration.load(project / ".azureml" / "mine.runconfig").target == "cpu-cluster"


def test_saved_and_loaded(tmp_path: Path) -> None:
    made = RunConfiguration(script="train.py", arguments=["--lr", 0.1], communicator="OpenMpi")
    made.target = "cpu-cluster"
    made.environment = Environment("mine")
    made.environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["numpy==1.26.0"])
    made.environment.docker.base_image = "debian:bookworm-slim"
    made.environment_variables = {"A": "1"}
    made.docker = DockerConfiguration(use_docker=True, shm_size="4g", arguments=["--cap-add", "SYS_PTRACE"])
    made.mpi = MpiConfiguration(2)
    made.max_run_duration_seconds = 60
    made.save(path=str(tmp_path), name="mine")
    assert (tmp_path / ".azureml" / "mine.runconfig").is_file()
    found = RunConfiguration.load(str(tmp_path), "mine")
    assert (found.script, found.arguments, found.target) == ("train.py", ["--lr", 0.1], "cpu-cluster")
    assert found.environment_variables == {"A": "1"} and found.max_run_duration_seconds == 60
    assert found.environment.name == "mine" and found.environment.docker.base_image == "debian:bookworm-slim"
    assert [*found.environment.python.conda_dependencies.pip_packages] == ["numpy==1.26.0"]
    assert (found.docker.use_docker, found.docker.shm_size) == (True, "4g")
    assert found.docker.arguments == ["--cap-add", "SYS_PTRACE"]
    assert (found.communicator, found.mpi.process_count_per_node) == ("OpenMpi", 2)
    RunConfiguration.delete(str(tmp_path), "mine")
    with pytest.raises(UserErrorException, match=r"there is no run configuration 'mine' in .*; it has: none"):
        RunConfiguration.load(str(tmp_path), "mine")


def test_the_environment_in_a_file_of_its_own(tmp_path: Path) -> None:
    made = RunConfiguration(conda_dependencies=CondaDependencies.create(pip_packages=["iniconfig"]))
    made.save(path=tmp_path, name="mine", separate_environment_yaml=True)
    assert "iniconfig" in (tmp_path / ".azureml" / "environment.yml").read_text()
    found = RunConfiguration.load(tmp_path, "mine")
    assert [*found.environment.python.conda_dependencies.pip_packages] == ["iniconfig"]


@pytest.mark.parametrize("text", ["a: [", "- a list"])
def test_a_broken_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "mine.runconfig").write_text(text)
    with pytest.raises(UserErrorException, match=r"mine\.runconfig"):
        RunConfiguration.load(tmp_path, "mine")


def test_a_loaded_one_runs(workspace: Workspace, project: Path) -> None:
    text = V1_FILE.replace("enabled: true", "enabled: false").replace("communicator: IntelMpi", "communicator: None")
    (project / ".azureml" / "mine.runconfig").write_text(text.replace("condaDependenciesFile", "unused"))
    run_config = RunConfiguration.load(str(project), "mine")
    run = Experiment(workspace, "e").submit(ScriptRunConfig(str(project), run_config=run_config))
    assert run.wait_for_completion()["target"] == "cpu-cluster"
    assert driver_log(run) == "['--epochs', '3']\n"


def test_what_scripts_set_is_there() -> None:
    run_config = RunConfiguration()
    run_config.amlcompute.vm_size = "STANDARD_D2_V2"
    run_config.history.output_collection = True
    run_config.spark.configuration["a"] = "b"
    run_config.hdi.yarn_deploy_mode = "cluster"
    run_config.priority = 3
    with pytest.warns(UserWarning, match="auto_prepare_environment is always on"):
        run_config.auto_prepare_environment = True
    assert run_config.auto_prepare_environment is True


class TestDocker:
    TARGETS = WorkspaceConfiguration()

    def test_a_local_run_that_asks_for_it(self) -> None:
        run_config = RunConfiguration()
        assert effective_target(run_config, self.TARGETS) == "local"
        run_config.docker.use_docker = True
        assert effective_target(run_config, self.TARGETS) == "docker"
        run_config.target = "cpu-cluster"
        assert effective_target(run_config, self.TARGETS) == "cpu-cluster"

    def test_on_the_environment_as_in_the_older_sdk(self) -> None:
        run_config = RunConfiguration()
        run_config.environment.docker.enabled = True
        assert effective_target(run_config, self.TARGETS) == "docker"

    def test_what_the_container_gets(self, workspace: Workspace, tmp_path: Path, engine: str) -> None:
        (tmp_path / "train.py").write_text("pass")
        environment = Environment("mine")
        environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["iniconfig"])
        environment.docker.arguments = ["--cpus", "1"]
        asked = DockerConfiguration(use_docker=True, shm_size="3g", arguments=["--memory", "4g"])
        config = ScriptRunConfig(str(tmp_path), "train.py", environment=environment, docker_runtime_config=asked)
        definition = define(Experiment(workspace, "e"), config, {})
        assert definition["target"] == "docker"
        assert definition["environment"]["docker"]["shm_size"] == "3g"
        assert definition["environment"]["docker"]["arguments"] == ["--cpus", "1", "--memory", "4g"]

    def test_it_runs_there(self, workspace: Workspace, tmp_path: Path, python_base_image: str) -> None:
        source = tmp_path / "project"
        source.mkdir()
        (source / "train.py").write_text(
            textwrap.dedent("""
                import os
                from toolkit import Run
                print(os.path.exists("/.dockerenv"), os.environ["AZUREML_TARGET_TYPE"])
                Run.get_context().log("shm", os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize)
            """)
        )
        environment = Environment.from_docker_image("mine", python_base_image)
        asked = DockerConfiguration(use_docker=True, shm_size="64m")
        config = ScriptRunConfig(str(source), "train.py", environment=environment, docker_runtime_config=asked)
        run = Experiment(workspace, "e").submit(config)
        assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
        assert driver_log(run) == "True docker\n" and run.get_metrics()["shm"] == 64 * 2**20

    def test_several_processes_in_a_container(
        self, workspace: Workspace, tmp_path: Path, python_base_image: str
    ) -> None:
        source = tmp_path / "project"
        source.mkdir()
        (source / "train.py").write_text(
            "import os\nfrom toolkit import Run\n"
            "Run.get_context().log('rank', int(os.environ['OMPI_COMM_WORLD_RANK']))\n"
        )
        environment = Environment.from_docker_image("mine", python_base_image)
        config = ScriptRunConfig(
            str(source), "train.py", compute_target="docker", environment=environment,
            distributed_job_config=MpiConfiguration(2),
        )  # fmt: skip
        run = Experiment(workspace, "e").submit(config)
        assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
        assert sorted(run.get_metrics()["rank"]) == [0, 1]

    def test_arguments_are_a_list(self) -> None:
        with pytest.raises(UserErrorException, match="it is a list, as in"):
            DockerConfiguration(arguments="--cpus 2")


def test_a_size_in_place_of_a_target(submit: Submit) -> None:
    run_config = RunConfiguration()
    run_config.target = "amlcompute"
    run_config.amlcompute.vm_size = "STANDARD_D2_V2"
    assert effective_target(run_config, WorkspaceConfiguration()) == "local"
