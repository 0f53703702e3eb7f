"""`partition_format`: columns that are in the paths of files, as in '/{state}/{date:yyyy/MM/dd}/data.csv'."""

import datetime
import re
from typing import Any, Dict, List, Optional, Pattern

from toolkit.data.errors import DatasetValidationError

_FIELD = re.compile(r"\{(\w+)(?::([^}]*))?\}")
_DATE_PARTS = {"yyyy": "year", "MM": "month", "dd": "day", "HH": "hour", "mm": "minute", "ss": "second"}


def keys(partition_format: Optional[str]) -> List[str]:
    """The names of the columns."""
    return [match.group(1) for match in _FIELD.finditer(partition_format or "")]


def values(partition_format: str, path: str) -> Dict[str, object]:
    """The columns of one file: text, or a `datetime` where the format says how it is written.

    Raises:
        DatasetValidationError: the path has not this form.
    """
    match = _expression(partition_format).search("/" + path.lstrip("/"))
    if match is None:
        raise DatasetValidationError(
            "the path '%s' does not have the form partition_format=%r" % (path, partition_format)
        )
    found: Dict[str, object] = {}
    for number, field in enumerate(_FIELD.finditer(partition_format)):
        name, form = field.group(1), field.group(2)
        found[name] = _date(match, number, form) if form else match.group("f%d" % number)
    return found


def _expression(partition_format: str) -> "Pattern[str]":
    text, end = "", 0
    for number, field in enumerate(_FIELD.finditer(partition_format)):
        text += _literal(partition_format[end : field.start()])
        text += _date_pattern(number, field.group(2)) if field.group(2) else "(?P<f%d>[^/]+?)" % number
        end = field.end()
    return re.compile(text + _literal(partition_format[end:]) + "$")


def _literal(text: str) -> str:
    return "[^/]*".join(re.escape(part) for part in text.split("*"))


def _date_pattern(number: int, form: str) -> str:
    text = re.escape(form)
    for part, name in _DATE_PARTS.items():
        text = text.replace(part, r"(?P<f%d%s>\d{%d})" % (number, name, len(part)), 1)
    return text


def _date(match: "re.Match[str]", number: int, form: str) -> datetime.datetime:
    parts: Dict[str, Any] = {"year": 1, "month": 1, "day": 1, "hour": 0, "minute": 0, "second": 0}
    for part, name in _DATE_PARTS.items():
        if part in form:
            parts[name] = int(match.group("f%d%s" % (number, name)))
    return datetime.datetime(**parts)
