"""Paths in a datastore: relative, with `/`, and with the globs `*`, `?`, `[ab]` in a name and `**` for any folders."""

import re
from typing import Iterable, List, Optional, Pattern, Tuple

from toolkit.inscript.errors import UserErrorException

_GLOB = re.compile(r"[*?\[]")


def checked(path: object, what: str = "a path in a datastore") -> str:
    """`path` as it is kept: relative, with single slashes; "" is the root.

    Raises:
        UserErrorException: it leads out of its root, or is no text.
    """
    if path is None:
        return ""
    parts = [part for part in str(path).replace("\\", "/").split("/") if part not in ("", ".")]
    if ".." in parts or "\0" in str(path):
        raise UserErrorException("%r cannot be %s: it must not lead upwards with '..'" % (path, what))
    return "/".join(parts)


def is_glob(path: str) -> bool:
    return bool(_GLOB.search(path))


def static_prefix(pattern: str) -> str:
    """The folder that a glob starts in: `a/b` of `a/b/*/c.csv`."""
    parts = pattern.split("/")
    for index, part in enumerate(parts):
        if is_glob(part):
            return "/".join(parts[:index])
    return pattern


def depth(pattern: str) -> Optional[int]:
    """How many folders deep the files of a glob can be, at most; None where `**` makes it any."""
    parts = pattern.split("/")
    return None if "**" in parts else len(parts)


def matching(pattern: str, paths: Iterable[str], below: bool = False) -> List[str]:
    """Those of `paths` that the glob stands for; with `below`, all in folders that it stands for."""
    expression = _compiled(pattern, below)
    return [path for path in paths if expression.match(path)]


def _compiled(pattern: str, below: bool) -> "Pattern[str]":
    text = ""
    parts = pattern.split("/")
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**":
            text += ".*" if last else "(?:[^/]+/)*"
        else:
            text += _segment(part) + ("" if last else "/")
    return re.compile(text + ("(?:/.*)?$" if below else "$"), re.DOTALL)


def _segment(part: str) -> str:
    text, index = "", 0
    while index < len(part):
        character = part[index]
        end = part.find("]", index + 2) if character == "[" else -1
        if character == "*":
            text += "[^/]*"
        elif character == "?":
            text += "[^/]"
        elif end > 0:
            inside = part[index + 1 : end].replace("\\", "\\\\")
            text += "[%s]" % ("^" + inside[1:] if inside[0] == "!" else inside)
            index = end
        else:
            text += re.escape(character)
        index += 1
    return text


def relative(path: str, base: str) -> str:
    """`path` without the folder `base` in front."""
    return path[len(base) :].lstrip("/") if base else path


def common_folder(paths: Iterable[str]) -> str:
    """The longest folder that all `paths` lie in; "" where there is none."""
    split: List[List[str]] = [path.split("/")[:-1] for path in paths]
    if not split:
        return ""
    shared: List[str] = []
    columns: Iterable[Tuple[str, ...]] = zip(*split)
    for column in columns:
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return "/".join(shared)
