"""Names of Azure ML's own environments: what stands for them, and that nobody else takes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit import Environment, UserErrorException, Workspace


@pytest.mark.parametrize(
    ("name", "package"),
    [
        ("AzureML-Minimal", "pip"),
        ("AzureML-Tutorial", "matplotlib"),
        ("AzureML-PyTorch-1.6-CPU", "torch"),
        ("AzureML-pytorch-1.9-ubuntu18.04-py37-cuda11-gpu", "torch"),
        ("AzureML-ACPT-pytorch-1.13-py38-cuda11.7-gpu", "torch"),
        ("AzureML-TensorFlow-2.2-GPU", "tensorflow"),
        ("AzureML-Scikit-learn-0.20.3", "scikit-learn"),
        ("AzureML-sklearn-1.0-ubuntu20.04-py38-cpu", "scikit-learn"),
        ("AzureML-lightgbm-3.3", "lightgbm"),
        ("AzureML-XGBoost-0.9", "xgboost"),
    ],
)
def test_what_stands_for_a_name(
    name: str, package: str, workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    environment = Environment.get(workspace, name, version="7")
    specification = environment.python.specification
    assert environment.name == name and specification is not None
    assert any(entry.startswith(package) for entry in (*specification.conda, *specification.pip))
    said = capsys.readouterr().err
    assert f"'{name}' version 7 is an image of Azure ML; taken instead: python>=3.10" in said
    assert ".clone('my-environment')" in said


def test_names_that_nothing_stands_for(workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match=r"there is no environment 'AzureML-VowpalWabbit-.*': curated"):
        Environment.get(workspace, "AzureML-VowpalWabbit-8.8.0")


def test_one_as_it_is_can_be_submitted_and_a_changed_one_needs_a_name_of_its_own(workspace: Workspace) -> None:
    environment = Environment.get(workspace, "AzureML-Minimal")
    assert environment.register(workspace).version == environment.register_locally(workspace).version == "1"
    assert Environment.list(workspace) == {}, "there is nothing to keep of it"
    environment.python.conda_dependencies.add_pip_package("six")
    for register in (environment.register, environment.register_locally):
        with pytest.raises(UserErrorException, match="reserved for curated environments; give yours another name, as"):
            register(workspace)
    assert environment.clone("mine").register(workspace).version == "1"


@pytest.mark.parametrize("name", ["AzureML-mine", "AzureMLmine", "Microsoft-mine"])
def test_reserved_names(name: str, workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match=rf"as in environment\.clone\('my-{name}'\)"):
        Environment(name).register(workspace)


def test_names_that_only_sound_like_it(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    Environment.from_pip_requirements("azureml-env", tmp_path / "requirements.txt").register(workspace)
    assert Environment.get(workspace, "azureml-env").version == "1"
