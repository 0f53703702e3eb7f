"""What scripts elsewhere are told of MLflow."""

from __future__ import annotations

import pytest

from toolkit.targets import elsewhere

WITH_MLFLOW = {"specification": {"conda": ["python=3.11"], "pip": ["mlflow>=3"]}}


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("", True),
        ("sqlite:////home/me/mlflow.db", True),
        ("/home/me/mlruns", True),
        ("file:///home/me/mlruns", True),
        ("http://127.0.0.1:5000", True),
        ("http://localhost:5000", True),
        ("http://[::1]:5000", True),
        ("http://mlflow.example.com", False),
        ("https://mlflow.example.com/team", False),
        ("databricks", False),
        ("postgresql://me@db.example.com/mlflow", False),
    ],
)
def test_a_store_of_this_machine(uri: str, local: bool) -> None:
    assert elsewhere.is_local(uri) == local


def test_who_logs_by_mlflow_itself_is_told() -> None:
    (said,) = elsewhere.tracking_notices("cluster", "", WITH_MLFLOW)
    assert "'cluster'" in said and "tracking_uri" in said
    assert elsewhere.tracking_notices("cluster", "http://mlflow.example.com", WITH_MLFLOW) == []
    assert elsewhere.tracking_notices("cluster", "", {"specification": {"conda": ["python=3.11"]}}) == []
