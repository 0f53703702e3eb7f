"""Conditions of `filter`, as in `dataset['age'] > 30`: kept as plain data, so that a run can apply them too.

    ["gt", ["column", "age"], 30]    ["and", a, b]    ["or", a, b]    ["not", a]

Times are kept as {"datetime": ISO text}, in UTC where they had a time zone.
"""

import datetime
import operator
from typing import Any, Callable, Dict, List

from toolkit.inscript.errors import UserErrorException

_COMPARE: Dict[str, Callable[[Any, Any], Any]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "eq": operator.eq,
    "ne": operator.ne,
}


class Expression:
    """A condition, or the column that one is about."""

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, form: Any) -> None:
        self.form = form

    def _with(self, name: str, other: object) -> "Expression":
        return Expression([name, self.form, plain(other)])

    def __gt__(self, other: object) -> "Expression":
        return self._with("gt", other)

    def __ge__(self, other: object) -> "Expression":
        return self._with("ge", other)

    def __lt__(self, other: object) -> "Expression":
        return self._with("lt", other)

    def __le__(self, other: object) -> "Expression":
        return self._with("le", other)

    def __eq__(self, other: object) -> "Expression":  # type: ignore[override]
        return self._with("eq", other)

    def __ne__(self, other: object) -> "Expression":  # type: ignore[override]
        return self._with("ne", other)

    def __and__(self, other: object) -> "Expression":
        return self._with("and", other)

    def __or__(self, other: object) -> "Expression":
        return self._with("or", other)

    def __invert__(self) -> "Expression":
        return Expression(["not", self.form])

    def is_null(self) -> "Expression":
        return Expression(["null", self.form])

    def isin(self, values: List[object]) -> "Expression":
        return Expression(["in", self.form, [plain(value) for value in values]])

    def contains(self, text: str) -> "Expression":
        return self._with("contains", text)

    def starts_with(self, text: str) -> "Expression":
        return self._with("starts_with", text)

    def ends_with(self, text: str) -> "Expression":
        return self._with("ends_with", text)

    def __bool__(self) -> bool:
        raise UserErrorException(
            "a condition on a data set is neither true nor false: join conditions with & and |, as in "
            "(ds['a'] > 3) & (ds['b'] < 5)"
        )

    def __repr__(self) -> str:
        return "Expression(%r)" % (self.form,)


def column(name: str) -> Expression:
    return Expression(["column", name])


def plain(value: object) -> Any:
    """A value as JSON can hold it.

    Raises:
        UserErrorException: it cannot.
    """
    if isinstance(value, Expression):
        return value.form
    if isinstance(value, datetime.datetime):
        if value.tzinfo is not None:  # as columns have them: in UTC, without a time zone
            value = value.astimezone(datetime.timezone.utc).replace(tzinfo=None)
        return {"datetime": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"datetime": datetime.datetime(value.year, value.month, value.day).isoformat()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    item = getattr(value, "item", None)
    if callable(item):  # a scalar of numpy
        return plain(item())
    raise UserErrorException("%r cannot be compared with a column: give a number, text or a time" % (value,))


def unplain(value: Any) -> Any:
    """A value as it was before `plain`."""
    if isinstance(value, dict) and "datetime" in value:
        return parse_time(value["datetime"])
    return value


def parse_time(text: str) -> datetime.datetime:
    """A time in ISO form (`datetime.fromisoformat` is not in Python 3.6)."""
    for form in ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S"):
        try:
            return datetime.datetime.strptime(text, form)
        except ValueError:
            continue
    raise UserErrorException("%r is no time, as in 2020-01-31T12:00:00" % text)


def holds(form: Any, row: Dict[str, object]) -> bool:
    """Whether a condition holds for one row."""
    return bool(evaluate(form, _Row(row)))


def evaluate(form: Any, values: Any) -> Any:
    """A condition over `values`: a row, or what gives columns of many rows by `column` and knows their operations."""
    if not isinstance(form, list):
        return unplain(form)
    name = form[0]
    if name == "column":
        return values.column(form[1])
    left = evaluate(form[1], values)
    if name in ("null", "not"):
        return values.null(left) if name == "null" else values.negated(left)
    if name == "in":
        return values.member(left, [unplain(one) for one in form[2]])
    right = evaluate(form[2], values)
    if name in _COMPARE:
        return values.compared(_COMPARE[name], left, right)
    if name in ("and", "or"):
        return left & right if name == "and" else left | right
    return values.text(name, left, right)


class _Row:
    """The operations on one row."""

    def __init__(self, row: Dict[str, object]) -> None:
        self._row = row

    def column(self, name: str) -> object:
        if name not in self._row:
            raise UserErrorException("there is no column '%s'; there are: %s" % (name, ", ".join(sorted(self._row))))
        return self._row[name]

    @staticmethod
    def null(value: object) -> bool:
        return value is None

    @staticmethod
    def negated(value: object) -> bool:
        return not value

    @staticmethod
    def member(value: object, values: List[object]) -> bool:
        return value in values

    @staticmethod
    def compared(compare: Callable[[Any, Any], Any], left: object, right: object) -> bool:
        return bool(compare(left, right))

    @staticmethod
    def text(name: str, left: object, right: object) -> bool:
        if name == "contains":
            return str(right) in str(left)
        return str(left).startswith(str(right)) if name == "starts_with" else str(left).endswith(str(right))
