"""`get_metrics` has the shapes of Azure ML SDK v1 (`reference/sdk-v1-behaviour.md`, section 4)."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.inscript.metrics import collect, properties, rows_of, tags


def scalar(value: object, name: str = "loss") -> dict[str, object]:
    return {"kind": "metric", "name": name, "value": value}


def a_list(*value: object) -> dict[str, object]:
    return {"kind": "list", "name": "loss", "value": [*value]}


def table(**columns: list[object]) -> dict[str, object]:
    return {"kind": "table", "name": "loss", "value": columns}


@pytest.mark.parametrize(
    ("records", "shape"),
    [
        ([scalar(0.3)], 0.3),
        ([scalar(None)], None),
        ([scalar(0.3), scalar(0.2), scalar(0.1)], [0.3, 0.2, 0.1]),
        ([a_list(1)], [1]),  # v1 gave 1
        ([a_list(1, 2)], [1, 2]),
        ([a_list(1, 2), a_list(3)], [1, 2, 3]),
        ([scalar(1), a_list(2, 3)], [1, 2, 3]),
        ([table(epoch=[1], loss=[0.5])], {"epoch": 1, "loss": 0.5}),
        ([table(epoch=[1], loss=[0.5]), table(epoch=[2], acc=[0.9])], {
            "epoch": [1, 2], "loss": [0.5, None], "acc": [None, 0.9],
        }),
        ([table(x=[1, 2, 3], y=[4, 5])], {"x": [1, 2, 3], "y": [4, 5, None]}),
        ([{"kind": "image", "name": "loss", "value": "plot_0.png"}], "plot_0.png"),
        ([{"kind": "residuals", "name": "loss", "value": "loss.json"}], "loss.json"),
    ],
)  # fmt: skip
def test_shapes_of_v1(records: list[dict[str, object]], shape: object) -> None:
    assert collect(records) == {"loss": shape}


def test_names_come_in_the_order_they_were_first_logged() -> None:
    found = collect([scalar(1, "b"), scalar(2, "a"), scalar(3, "b")])
    assert [*found.items()] == [("b", [1, 3]), ("a", 2)]


def test_one_name_only_and_an_unknown_name() -> None:
    records = [scalar(1, "a"), scalar(2, "b")]
    assert collect(records, "b") == {"b": 2}
    assert collect(records, "c") == {}


@pytest.mark.parametrize(
    "record", [{}, {"kind": "metric"}, {"kind": "metric", "name": 3}, {"kind": "new", "name": "a"}]
)
def test_records_that_are_not_understood_are_passed_over(record: dict[str, Any]) -> None:
    assert collect([record, scalar(1)]) == {"loss": 1}


def test_rows_of_a_table_without_columns() -> None:
    assert rows_of({"kind": "table", "name": "a"}) == []


def test_tags_change_and_go_away_while_properties_stay() -> None:
    records = [
        {"kind": "tag", "name": "a", "value": "1"},
        {"kind": "tag", "name": "b", "value": "1"},
        {"kind": "tag", "name": "a", "value": "2"},
        {"kind": "untag", "name": "b"},
        {"kind": "untag", "name": "never"},
        {"kind": "property", "name": "p", "value": "first"},
        {"kind": "property", "name": "p", "value": "second"},
    ]
    assert tags(records) == {"a": "2"}
    assert properties(records) == {"p": "first"}
