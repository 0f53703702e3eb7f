"""What a script logs, as plain Python values: numpy and torch scalars are numbers, nothing ever raises."""

import numbers
import sys
from typing import Any, List, Set

LONGEST_INT_BITS = 10000
_warned: Set[str] = set()


def warn_once(about: str, message: str) -> None:
    """Say `message` on standard error, once a process for each `about`."""
    if about in _warned:
        return
    _warned.add(about)
    try:
        sys.stderr.write("toolkit: %s\n" % message)
    except (OSError, ValueError, AttributeError):
        pass  # a closed or missing standard error must not end the training either


def to_scalar(name: str, value: Any) -> object:
    """`value` as a float, int, bool, str or None.

    Scalars of numpy, torch and their like (anything with `.item()`), Decimal and Fraction become numbers; what cannot
    be a number is kept as its text, with one warning.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return _to_int(value)
    if isinstance(value, float):
        return float(value)
    try:
        item = getattr(value, "item", None)
        if callable(item):
            plain = item()
            if isinstance(plain, int) and not isinstance(plain, bool):
                return _to_int(plain)
            if plain is None or isinstance(plain, (bool, int, float, str)):
                return plain
        if isinstance(value, numbers.Number) or hasattr(value, "__float__"):
            return float(value)
    except Exception:  # whatever a foreign type raises: its text is kept
        pass
    warn_once(
        "type of " + name,
        "'%s' was given a %s, which is not a number; its text is kept (said once)" % (name, type(value).__name__),
    )
    return to_text(value)


def _to_int(value: int) -> object:
    """`value` as a plain int; one with thousands of digits, which Python refuses to write as text, is infinite."""
    if value.bit_length() > LONGEST_INT_BITS:
        return float("inf") if value > 0 else float("-inf")
    return int(value)


def to_text(value: Any) -> str:
    try:
        return repr(value)[:2000]
    except Exception:
        return "<%s>" % type(value).__name__


def to_list(name: str, value: Any) -> List[Any]:
    """`value` as a list of scalars: any iterable, arrays and tensors flattened."""
    for flatten in ("flatten", "ravel"):
        if hasattr(value, flatten) and hasattr(value, "tolist"):
            try:
                value = getattr(value, flatten)().tolist()
                break
            except Exception:
                pass
    if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__"):
        return [to_scalar(name, value)]
    try:
        return [to_scalar(name, item) for item in value]
    except Exception:
        return [to_text(value)]


def is_many(value: Any) -> bool:
    """Whether `value` holds several values, so that it is a list rather than a scalar."""
    if isinstance(value, (str, bytes, int, float)) or value is None:
        return False
    try:
        size = getattr(value, "numel", None)
        if callable(size):
            return bool(size() != 1)
        size = getattr(value, "size", None)
        if isinstance(size, int):
            return size != 1
    except Exception:
        return False
    return hasattr(value, "__iter__") and hasattr(value, "__len__") and not isinstance(value, dict)
