"""The SDK's packages in a specification: left out, and what scripts had from them put in their place."""

from __future__ import annotations

import pytest

from toolkit.environments import offered
from toolkit.environments.spec import EnvironmentSpec


@pytest.mark.parametrize(
    ("conda", "pip", "kept"),
    [
        ((), ("azureml-defaults", "azureml-core==1.20", "azureml-train-core", "torch"), ("torch",)),
        ((), ("azureml-dataprep[pandas,fuse]>=1.1",), ("pandas", "pyarrow", "fsspec")),
        ((), ("azureml-dataset-runtime[fuse]", "pandas==1.5"), ("pandas==1.5", "pyarrow", "fsspec")),
        (("conda-forge::pandas=1.5", "pyarrow"), ("azureml_dataprep",), ("fsspec",)),
        ((), ("azureml-mlflow",), ("mlflow-skinny",)),
        ((), ("azureml-mlflow", "mlflow>=2"), ("mlflow>=2",)),
        ((), ("azureml-mlflow", "azureml-mlflow"), ("mlflow-skinny",)),
    ],
)
def test_what_takes_its_place(conda: tuple[str, ...], pip: tuple[str, ...], kept: tuple[str, ...]) -> None:
    spec, notices = offered.drop(EnvironmentSpec(conda=conda, pip=pip))
    assert spec.pip == kept
    assert notices[0].startswith("left out azureml")
    added = [name for name in kept if name not in pip]
    assert notices[1:] == ((f"added {', '.join(added)}, which scripts had from what was left out",) if added else ())


def test_a_specification_without_them_stays() -> None:
    spec = EnvironmentSpec(pip=("mlflow", "azure-storage-blob", "my-azureml-tools"))
    assert offered.drop(spec) == (spec, ())
