"""Foreign scalars become numbers; nothing raises; what is odd is said once."""

from __future__ import annotations

import decimal
import enum
import fractions
import sys
from typing import Any

import numpy
import pytest

from toolkit.inscript import values
from toolkit.inscript.values import is_many, to_list, to_scalar, warn_once


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_warned", set())


class Tensor:
    """What torch's tensors look like from outside: 0-d or 1-d, with `.item()`, `.numel()`, `.flatten()`."""

    def __init__(self, *items: object) -> None:
        self._items = items

    def numel(self) -> int:
        return len(self._items)

    def item(self) -> object:
        (only,) = self._items
        return only

    def flatten(self) -> Tensor:
        return self

    def tolist(self) -> list[object]:
        return [*self._items]

    def __iter__(self) -> Any:
        return iter(self._items)


class Grade(enum.IntEnum):
    A = 1


class Evil:
    """Raises at every touch."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)

    def __repr__(self) -> str:
        raise RuntimeError("repr")

    def __float__(self) -> float:
        raise RuntimeError("float")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (3, 3),
        (0.3, 0.3),
        (Grade.A, 1),
        (decimal.Decimal("0.5"), 0.5),
        (fractions.Fraction(1, 4), 0.25),
        (Tensor(0.3), 0.3),
        (Tensor(True), True),
        (numpy.float64(0.5), 0.5),
        (numpy.float32(0.5), 0.5),
        (numpy.float16(0.5), 0.5),
        (numpy.longdouble(0.5), 0.5),
        (numpy.int64(7), 7),
        (numpy.int8(-7), -7),
        (numpy.uint64(2**64 - 1), 2**64 - 1),
        (numpy.bool_(True), True),
        (numpy.str_("text"), "text"),
        (numpy.array(2.5), 2.5),
        (numpy.array([2.5]), 2.5),
        (numpy.array([[3]]), 3),
    ],
    ids=lambda value: f"{type(value).__name__}",
)
def test_scalars_of_every_library_are_numbers(value: object, plain: object, capsys: pytest.CaptureFixture[str]) -> None:
    found = to_scalar("loss", value)
    assert found == plain and isinstance(found, type(plain))
    assert type(found).__module__ in ("builtins", "numpy" if isinstance(value, str) else "builtins")
    assert capsys.readouterr().err == "", "nothing to warn of"


@pytest.mark.parametrize(
    "value", [float("nan"), numpy.float32("nan"), Tensor(numpy.nan), decimal.Decimal("nan")], ids=repr
)
def test_nan_stays_a_number(value: object) -> None:
    found = to_scalar("loss", value)
    assert isinstance(found, float) and found != found


ODD = [object(), 1j, b"bytes", len, Evil(), Tensor([]), numpy.datetime64("2020-01-01")]


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_what_is_no_number_keeps_its_text_and_is_said_once(value: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(to_scalar("loss", value), str)
    to_scalar("loss", value)
    warning = capsys.readouterr().err
    assert warning == (
        f"toolkit: 'loss' was given a {type(value).__name__}, which is not a number; its text is kept (said once)\n"
    )
    to_scalar("accuracy", value)
    assert "'accuracy'" in capsys.readouterr().err, "once for each name"


def test_a_very_long_text_is_cut() -> None:
    assert len(str(to_scalar("loss", b"x" * 100_000))) == 2000


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ([1, 2.5, "x", None], [1, 2.5, "x", None]),
        ((numpy.float32(0.5), Tensor(2)), [0.5, 2]),
        (range(3), [0, 1, 2]),
        ((number for number in (1, 2)), [1, 2]),
        (numpy.array([[1.0, 2.0], [3.0, 4.0]]), [1.0, 2.0, 3.0, 4.0]),
        (Tensor(1, 2), [1, 2]),
        ([], []),
        (numpy.array([]), []),
        ("text", ["text"]),
        (3, [3]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_lists_of_scalars(value: object, plain: list[object]) -> None:
    assert to_list("curve", value) == plain


def test_an_iterable_that_raises_is_kept_as_text() -> None:
    def broken() -> Any:
        yield 1
        raise RuntimeError("half way")

    (text,) = to_list("curve", broken())
    assert "generator" in str(text)


@pytest.mark.parametrize(
    ("value", "many"),
    [
        (1, False),
        ("text", False),
        (b"bytes", False),
        (None, False),
        (object(), False),
        (Evil(), False),
        ([1], True),
        ((1, 2), True),
        (range(2), True),
        (numpy.array([1, 2]), True),
        (numpy.array([1]), False),
        (numpy.float64(1), False),
        (Tensor(1, 2), True),
        (Tensor(1), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_value_or_several(value: object, many: bool) -> None:
    assert is_many(value) is many


def test_a_closed_standard_error_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/null", "w") as closed:
        pass
    for stream in (closed, None):
        monkeypatch.setattr(sys, "stderr", stream)
        warn_once(f"about {stream}", "message")
