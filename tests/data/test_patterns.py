"""Globs and checks of paths in datastores."""

from __future__ import annotations

import pytest

from toolkit import UserErrorException
from toolkit.data import partitions
from toolkit.data.errors import DatasetValidationError
from toolkit.data.patterns import checked, common_folder, depth, matching, static_prefix

PATHS = ["a.csv", "x/a.csv", "x/b.png", "x/y/a.csv", "x/y/z/c.csv", "x/a[1].csv"]


@pytest.mark.parametrize(
    ("pattern", "wanted"),
    [
        ("*.csv", ["a.csv"]),
        ("**/*.csv", ["a.csv", "x/a.csv", "x/y/a.csv", "x/y/z/c.csv", "x/a[1].csv"]),
        ("x/*.csv", ["x/a.csv", "x/a[1].csv"]),
        ("x/**", ["x/a.csv", "x/b.png", "x/y/a.csv", "x/y/z/c.csv", "x/a[1].csv"]),
        ("x/**/a.csv", ["x/a.csv", "x/y/a.csv"]),
        ("x/?.png", ["x/b.png"]),
        ("x/[ab].*", ["x/a.csv", "x/b.png"]),
        ("x/[!a].*", ["x/b.png"]),
        ("x/*/*/*.csv", ["x/y/z/c.csv"]),
        ("y", []),
    ],
)
def test_globs(pattern: str, wanted: list[str]) -> None:
    assert matching(pattern, PATHS) == wanted


def test_what_a_glob_says_before_it_is_looked_for() -> None:
    assert static_prefix("x/y/*/c.csv") == "x/y" and static_prefix("*.csv") == "" and static_prefix("x/y") == "x/y"
    assert depth("x/*/c.csv") == 3 and depth("x/**") is None
    assert common_folder(["a/b/c.txt", "a/b/d/e.txt"]) == "a/b" and common_folder(["a.txt", "b/c.txt"]) == ""


@pytest.mark.parametrize("path", ["../x", "a/../../b", "a\\..\\b", "a\0b"])
def test_a_path_never_leads_out_of_its_datastore(path: str) -> None:
    with pytest.raises(UserErrorException, match=r"must not lead upwards"):
        checked(path)


def test_paths_are_kept_in_one_form() -> None:
    assert checked("/a//b/./c/") == "a/b/c" and checked(None) == "" and checked(".") == ""


def test_partition_formats() -> None:
    import datetime

    form = "/{state}/{day:yyyy/MM/dd}/*.csv"
    assert partitions.keys(form) == ["state", "day"]
    values = partitions.values(form, "weather/CA/2019/01/31/part-3.csv")
    assert values == {"state": "CA", "day": datetime.datetime(2019, 1, 31)}
    with pytest.raises(DatasetValidationError, match="does not have the form"):
        partitions.values(form, "weather/2019/part.csv")
