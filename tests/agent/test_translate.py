"""What the tracker makes of a spool, held against MLflow's own rules for names."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.agent.translate import is_typed, mlflow_name, params, table_artifacts, translate


def metric(value: object, name: str = "loss", step: int = 0, time: float = 1.5) -> dict[str, Any]:
    return {"kind": "metric", "name": name, "step": step, "time": time, "value": value}


def a_list(*value: object, step: int = 0) -> dict[str, Any]:
    return {"kind": "list", "name": "curve", "step": step, "time": 1.5, "value": [*value]}


def table(step: int = 0, **columns: list[object]) -> dict[str, Any]:
    return {"kind": "table", "name": "fit", "step": step, "time": 1.5, "value": columns}


def test_scalars_keep_their_order_times_and_steps() -> None:
    batch = translate([metric(0.5, step=0, time=10.001), metric(3, "other", step=7, time=10.002), metric(0.25, step=1)])
    assert batch.metrics == [("loss", 0.5, 10001, 0), ("other", 3.0, 10002, 7), ("loss", 0.25, 1500, 1)]
    assert batch.tags == {} and not batch.typed


def test_what_float_cannot_hold() -> None:
    batch = translate([metric(math.nan), metric(-math.inf), metric(10**400), metric(-(10**400))])
    values = [row[1] for row in batch.metrics]
    assert math.isnan(values[0]) and values[1:] == [-math.inf, math.inf, -math.inf]


@pytest.mark.parametrize("value", ["text", None])
def test_a_text_is_a_tag_and_kept_as_it_is(value: object) -> None:
    batch = translate([metric(value, "note")])
    assert batch.metrics == [] and batch.tags == {"toolkit.text.note": str(value)} and batch.typed


def test_a_truth_value_is_a_number_and_kept_as_it_is() -> None:
    batch = translate([metric(True)])
    assert batch.metrics == [("loss", 1.0, 1500, 0)] and batch.typed and is_typed(metric(True))


def test_lists_and_rows_are_curves() -> None:
    batch = translate([a_list(1, 2.5, step=3), table(epoch=[1, 2], loss=[0.5, "bad"], note=["a", "b"])])
    assert batch.metrics == [
        ("curve", 1.0, 1500, 3), ("curve", 2.5, 1500, 4),
        ("fit/epoch", 1.0, 1500, 0), ("fit/epoch", 2.0, 1500, 1), ("fit/loss", 0.5, 1500, 0),
    ]  # fmt: skip
    assert batch.typed


def test_tags_and_properties() -> None:
    records = [
        {"kind": "tag", "name": "a", "value": "1"},
        {"kind": "tag", "name": "a", "value": "2"},
        {"kind": "untag", "name": "b"},
        {"kind": "property", "name": "p", "value": "x" * 10000},
    ]
    assert translate(records).tags == {"a": "2", "b": None, "toolkit.property.p": "x" * 8000}


@pytest.mark.parametrize(
    "record", [{}, {"kind": "new"}, {"kind": "metric"}, {"kind": "metric", "name": "a", "value": 1}, {"kind": "list"},
               {"kind": "tag", "name": 3}, {"kind": "table", "name": "a", "value": [1]}]
)  # fmt: skip
def test_a_record_that_is_not_understood_is_passed_over(record: dict[str, Any]) -> None:
    assert translate([record, metric(0.5)]).metrics == [("loss", 0.5, 1500, 0)]


def test_images_are_kept_as_they_are() -> None:
    assert translate([{"kind": "image", "name": "plot", "value": "plot_0.png"}]).typed


def test_tables_become_artifacts_that_mlflow_shows() -> None:
    found = table_artifacts([table(epoch=[1], loss=[0.5]), table(epoch=[2], acc=[0.9]), metric(1)])
    assert found == {"tables/fit.json": {"columns": ["epoch", "loss", "acc"], "data": [[1, 0.5, None], [2, None, 0.9]]}}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["--lr", "0.1", "--epochs", "2"], {"lr": "0.1", "epochs": "2"}),
        (["--lr=0.1", "--name=a=b"], {"lr": "0.1", "name": "a=b"}),
        (["-b", "4", "--cuda", "--nesterov"], {"b": "4", "cuda": "True", "nesterov": "True"}),
        (["--momentum", "-0.9"], {"momentum": "-0.9"}),
        (["data", "--out", "x", "more"], {"out": "x"}),
        (["--lr", "1", "--lr", "2"], {"lr": "1"}),
        (["--empty="], {"empty": ""}),
        (["--", "-"], {}),
        (["--text", "x" * 10000], {"text": "x" * 6000}),
        ([], {}),
    ],
)
def test_params_come_from_the_arguments(arguments: list[str], found: dict[str, str]) -> None:
    assert params(arguments) == found


@pytest.mark.parametrize("name", ["loss", "train/loss", "val loss: best-of_3.1", "ümläut", "x" * 250])
def test_names_that_mlflow_takes_stay(name: str) -> None:
    assert mlflow_name(name) == name


@settings(deadline=None)
@given(st.one_of(st.text(), st.text("./ a-:_\\\n", max_size=8), st.text(min_size=240, max_size=300)))
def test_every_name_becomes_one_that_mlflow_takes(name: str) -> None:
    from mlflow.entities import Metric, Param
    from mlflow.utils.validation import _validate_metric, _validate_param, _validate_tag

    clean = mlflow_name(name)
    _validate_metric(clean, 1.0, 1, 1)
    _validate_param(clean, "x")
    _validate_tag(clean, "x")
    assert Metric(clean, 1.0, 1, 1).key == Param(clean, "x").key == clean


def test_no_two_names_become_one() -> None:
    names = ["a$b", "a_b", "a%b", "a//b", "a/b", "a/./b", "../a", "", ".", " ", "/a", "a", "x" * 300, "x" * 301]
    assert len({mlflow_name(name) for name in names}) == len(names)
