"""Estimators: scripts from before `ScriptRunConfig` run as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import driver_log
from toolkit import Environment, Experiment, UserErrorException, Workspace
from toolkit.compute import ComputeTarget
from toolkit.distributed import plan
from toolkit.estimator import Chainer, Estimator, Gloo, Mpi, Nccl, ParameterServer, PyTorch, SKLearn, TensorFlow
from toolkit.run_configuration import effective_target
from toolkit.sweeps import GridParameterSampling, HyperDriveConfig, PrimaryMetricGoal, choice

SCRIPT = """
import os, sys
from toolkit import Run
print(sys.argv[1:], os.environ.get("MINE"))
Run.get_context().log("score", len(sys.argv))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    return folder


def pip_packages(estimator: Estimator) -> list[str]:
    return [*estimator.conda_dependencies.pip_packages]


def test_an_estimator_runs(workspace: Workspace, source: Path) -> None:
    estimator = Estimator(
        source_directory=str(source),
        script_params={"--data": "some/where", "--lr": 0.1, "--flag": "", "--zero": 0, "--off": False},
        compute_target=ComputeTarget(workspace, "cpu-cluster"),
        entry_script="train.py",
        environment_variables={"MINE": 1},
        use_gpu=False,
    )
    assert estimator.source_directory == str(source) and estimator.run_config.target == "cpu-cluster"
    run = Experiment(workspace, "estimators").submit(estimator)
    assert run.wait_for_completion()["status"] == "Completed"
    printed = ["--data", "some/where", "--lr", "0.1", "--flag", "--zero", "0", "--off", "False"]
    assert driver_log(run) == f"{printed} 1\n"


def test_a_sweep_of_one(workspace: Workspace, source: Path) -> None:
    estimator = Estimator(str(source), entry_script="train.py", compute_target="local", script_params={"--a": 1})
    sweep = HyperDriveConfig(
        estimator=estimator,
        hyperparameter_sampling=GridParameterSampling({"--lr": choice(1, 2)}),
        primary_metric_name="score",
        primary_metric_goal=PrimaryMetricGoal.MAXIMIZE,
        max_total_runs=2,
    )
    run = Experiment(workspace, "estimators").submit(sweep)
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    best = run.get_best_run_by_primary_metric()  # type: ignore[attr-defined]
    assert driver_log(best) == "['--a', '1', '--lr', '1'] None\n"


def test_packages_run(workspace: Workspace, source: Path) -> None:
    (source / "train.py").write_text("import iniconfig; print('has it')")
    estimator = Estimator(str(source), entry_script="train.py", compute_target="local", pip_packages=["iniconfig"])
    run = Experiment(workspace, "estimators").submit(estimator)
    assert run.wait_for_completion()["status"] == "Completed" and driver_log(run) == "has it\n"


class TestPackages:
    def test_without_any_it_is_the_interpreter_that_submits(self, source: Path) -> None:
        assert Estimator(str(source), entry_script="train.py").environment_definition.uses_own_interpreter

    def test_lists_and_files(self, source: Path) -> None:
        (source / "requirements.txt").write_text("# ours\npandas==2.0.0  # so\n\nscipy\n--extra-index-url http://x/\n")
        (source / "conda.yml").write_text("dependencies: [python=3.11, pip, {pip: [tqdm]}]\n")
        made = Estimator(
            str(source), entry_script="train.py", pip_packages=["scipy==1.11"], conda_packages=["numpy"],
            pip_requirements_file="requirements.txt", conda_dependencies_file="conda.yml",
        )  # fmt: skip
        assert pip_packages(made) == ["tqdm", "pandas==2.0.0", "scipy==1.11"]
        assert "numpy" in [*made.conda_dependencies.conda_packages]
        assert any("http://x/" in option for option in made.conda_dependencies.pip_options)

    @pytest.mark.parametrize(
        ("kind", "version", "packages"),
        [
            (PyTorch, "2.4.0", ["torch==2.4.0", "torchvision"]),
            (PyTorch, None, ["torch", "torchvision"]),
            (TensorFlow, "2.2", ["tensorflow==2.2"]),
            (SKLearn, None, ["scikit-learn"]),
            (Chainer, "5.1.0", ["chainer==5.1.0"]),
        ],
    )
    def test_of_frameworks(self, kind: type[Estimator], version: str | None, packages: list[str], source: Path) -> None:
        made = kind(str(source), entry_script="train.py", framework_version=version, use_gpu=True)
        assert pip_packages(made) == packages

    def test_of_frameworks_that_the_script_names_itself(self, source: Path) -> None:
        made = PyTorch(
            str(source), entry_script="train.py", framework_version="1.1", pip_packages=["torch==2.5.1", "pillow"]
        )
        assert pip_packages(made) == ["torchvision", "torch==2.5.1", "pillow"]

    def test_an_environment_instead(self, source: Path) -> None:
        environment = Environment("mine")
        made = Estimator(str(source), entry_script="train.py", environment_definition=environment)
        assert made.environment_definition is environment and made.run_config.environment is environment
        with pytest.raises(UserErrorException, match="environment_definition says which packages there are"):
            Estimator(str(source), entry_script="train.py", environment_definition=environment, pip_packages=["x"])

    def test_user_managed(self, source: Path) -> None:
        made = PyTorch(str(source), entry_script="train.py", user_managed=True, custom_docker_image="mine/image:1")
        assert made.environment_definition.python.user_managed_dependencies
        assert made.environment_definition.docker.base_image == "mine/image:1"


def test_docker_where_it_is_asked_for(workspace: Workspace, source: Path) -> None:
    def goes_to(**options: Any) -> str:
        made = Estimator(str(source), entry_script="train.py", **options)
        return effective_target(made.run_config, workspace.configuration)

    assert goes_to(compute_target="local") == "local"
    assert goes_to(compute_target="local", use_docker=True) == "docker"
    assert goes_to(compute_target="local", custom_docker_image="debian") == "docker"
    assert goes_to(compute_target="local", custom_docker_image="debian", use_docker=False) == "local"
    assert goes_to(vm_size="STANDARD_D2_V2") == "local"


@pytest.mark.parametrize(
    ("options", "planned"),
    [
        ({}, None),
        ({"process_count_per_node": 2}, {"kind": "mpi", "nodes": 1, "processes": 2}),
        ({"node_count": 2, "distributed_training": Mpi()}, {"kind": "mpi", "nodes": 2, "processes": 2}),
        ({"node_count": 2, "distributed_training": Mpi(process_count_per_node=2)},
         {"kind": "mpi", "nodes": 2, "processes": 4}),
        ({"node_count": 2, "distributed_training": Nccl()}, {"kind": "pytorch", "nodes": 2, "processes": 2}),
        ({"node_count": 2, "distributed_training": Gloo()}, {"kind": "pytorch", "nodes": 2, "processes": 2}),
        ({"node_count": 3, "distributed_backend": "mpi"}, {"kind": "mpi", "nodes": 3, "processes": 3}),
        ({"distributed_backend": "ps", "worker_count": 2, "node_count": 3},
         {"kind": "tensorflow", "nodes": 3, "workers": 2, "servers": 1}),
        ({"distributed_training": ParameterServer(worker_count=2)},
         {"kind": "tensorflow", "nodes": 3, "workers": 2, "servers": 1}),
    ],
)  # fmt: skip
def test_distributed(options: dict[str, Any], planned: dict[str, Any] | None, source: Path) -> None:
    assert plan(Estimator(str(source), entry_script="train.py", **options).run_config) == planned


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"distributed_backend": "smoke"}, "distributed_backend is 'smoke': it can be mpi, nccl, gloo, ps"),
        ({"distributed_training": 3}, r"it takes Mpi\(\), Nccl\(\), Gloo\(\) or ParameterServer\(\)"),
        ({"script_params": ["--lr"]}, "script_params is .*: it is a dictionary"),
        ({"inputs": [3]}, "inputs has 3: it takes named data sets"),
        ({"pip_requirements_file": "missing.txt"}, "missing.txt cannot be read"),
    ],
)
def test_what_is_refused(options: dict[str, Any], message: str, source: Path) -> None:
    with pytest.raises(UserErrorException, match=message):
        Estimator(str(source), entry_script="train.py", **options)


def test_data(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    from toolkit import Dataset

    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.txt").write_text("hello")
    store = workspace.get_default_datastore()
    store.upload(str(tmp_path / "data"), "up", show_progress=False)
    files = Dataset.File.from_files(path=(store, "up"))
    (source / "train.py").write_text(
        "import os, sys\nfrom toolkit import Run\n"
        "print([os.listdir(folder) for folder in sys.argv[2::2]], 'second' in Run.get_context().input_datasets)\n"
    )
    estimator = Estimator(
        str(source),
        entry_script="train.py",
        compute_target="local",
        script_params={"--files": files.as_named_input("first").as_mount(), "--place": store.path("up").as_mount()},
        inputs=[files.as_named_input("second").as_mount(), store.path("up").as_mount()],
    )
    run = Experiment(workspace, "estimators").submit(estimator)
    assert run.wait_for_completion()["status"] == "Completed", driver_log(run)
    assert driver_log(run) == "[['a.txt'], ['a.txt']] True\n"


def test_resuming(workspace: Workspace, source: Path, tmp_path: Path) -> None:
    from toolkit.data.data_reference import DataPath

    (source / "train.py").write_text(
        "import os, sys\nos.makedirs('outputs', exist_ok=True)\nopen('outputs/weights', 'w').close()\n"
        "print([one if one.startswith('-') else os.listdir(one) for one in sys.argv[1:]])\n"
    )
    first = Experiment(workspace, "estimators").submit(Estimator(str(source), entry_script="train.py"))
    first.wait_for_completion()
    again = Estimator(str(source), entry_script="train.py", resume_from=first)
    run = Experiment(workspace, "estimators").submit(again)
    run.wait_for_completion()
    assert driver_log(run) == "['--resume-from', ['weights']]\n"

    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "model.pt").write_text("")
    store = workspace.get_default_datastore()
    store.upload(str(tmp_path / "kept"), "kept", show_progress=False)
    run = Experiment(workspace, "estimators").submit(
        Estimator(str(source), entry_script="train.py", resume_from=DataPath(store, "kept"))
    )
    run.wait_for_completion()
    assert driver_log(run) == "['--resume-from', ['model.pt']]\n"
