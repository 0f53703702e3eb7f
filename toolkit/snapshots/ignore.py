r"""What of a source directory is left once the ignore rules have spoken, exactly as git would have it.

`.amlignore` in the root of the source directory replaces `.gitignore` everywhere, as in Azure ML SDK v1; without it
`.gitignore` counts. Nested files count too, deeper ones override shallower ones, and the parents of the source
directory are not searched. What lies in an ignored directory cannot be taken back with `!`, as in git.

The globs follow git's `wildmatch.c`, byte by byte. pathspec, the usual library, differs from git where it hurts
(`[[:digit:]]`, `\` in brackets, tabs at the end of a line, a broken bracket raises `re.error`) and takes longer to
import than a small snapshot takes in all.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from toolkit.errors import SnapshotException

__all__ = ["AMLIGNORE", "GITIGNORE", "Rules", "ignore_file", "printable", "walk"]

AMLIGNORE = ".amlignore"
GITIGNORE = ".gitignore"

_NEVER = b".git"  # a directory, or the file that a worktree or submodule has in its place
_DEFAULT_DIRECTORIES = frozenset(
    (b"__pycache__", b".ipynb_checkpoints", b"mlruns", b".mypy_cache", b".pytest_cache", b".ruff_cache")
)
_DEFAULT_FILES = frozenset((b".DS_Store",))
_ENVIRONMENT_MARKS = frozenset((b"pyvenv.cfg", b"conda-meta"))

_SPECIAL = re.compile(rb"[*?\[\\]")
_CLASSES = {
    b"alnum": rb"[A-Za-z0-9]",
    b"alpha": rb"[A-Za-z]",
    b"blank": rb"[ \t]",
    b"cntrl": rb"[\x00-\x1f\x7f]",
    b"digit": rb"[0-9]",
    b"graph": rb"[\x21-\x7e]",
    b"lower": rb"[a-z]",
    b"print": rb"[\x20-\x7e]",
    b"punct": rb"[!-/:-@\[-`{-~]",
    b"space": rb"[ \t\n\r]",
    b"upper": rb"[A-Z]",
    b"xdigit": rb"[0-9A-Fa-f]",
}

Matcher: TypeAlias = "re.Pattern[bytes] | None"


def printable(path: bytes) -> str:
    r"""A path for people to read; bytes that are not UTF-8 show as `\xff`."""
    return path.decode("utf-8", "backslashreplace")


class _NeverMatches(Exception):
    """A glob that git takes, and that matches nothing: a bracket without its end, a backslash at the end."""


@dataclass(frozen=True)
class _Rule:
    negated: bool
    directories_only: bool
    whole_path: bool  # matched against the path below the ignore file, else against the name alone
    regex: bytes


@dataclass(frozen=True)
class _Group:
    """Neighbouring rules of one sign: their order does not matter, so that each kind is one regular expression."""

    negated: bool
    names: Matcher
    paths: Matcher
    directory_names: Matcher
    directory_paths: Matcher

    def matches(self, name: bytes, path: bytes, is_directory: bool) -> bool:
        return bool(
            (self.names and self.names.fullmatch(name))
            or (self.paths and self.paths.fullmatch(path))
            or (
                is_directory
                and (
                    (self.directory_names and self.directory_names.fullmatch(name))
                    or (self.directory_paths and self.directory_paths.fullmatch(path))
                )
            )
        )


class Rules:
    """The rules of one ignore file."""

    def __init__(self, content: bytes) -> None:
        lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        rules = [rule for rule in map(_parse, lines) if rule]
        self._groups: list[_Group] = []  # the last rule of the file first: it wins
        while rules:
            sign = rules[-1].negated
            run: list[_Rule] = []
            while rules and rules[-1].negated == sign:
                run.append(rules.pop())
            self._groups.append(_group(sign, run))

    def ignores(self, name: bytes, path: bytes, is_directory: bool) -> bool | None:
        """Whether the entry is ignored; None where no rule speaks of it.

        Args:
            name: the last part of `path`.
            path: relative to the folder of the ignore file, with `/` between its parts.
        """
        for group in self._groups:
            if group.matches(name, path, is_directory):
                return not group.negated
        return None


def _group(negated: bool, rules: list[_Rule]) -> _Group:
    def matcher(whole_path: bool, directories_only: bool) -> Matcher:
        wanted = [
            rule.regex for rule in rules if rule.whole_path == whole_path and rule.directories_only == directories_only
        ]
        return re.compile(b"|".join(wanted), re.DOTALL) if wanted else None

    return _Group(negated, matcher(False, False), matcher(True, False), matcher(False, True), matcher(True, True))


def _parse(line: bytes) -> _Rule | None:
    """One line of an ignore file; None where it holds no rule. After git's `parse_path_pattern`."""
    if line.startswith(b"#"):
        return None
    pattern = _strip_spaces(line.removesuffix(b"\r"))
    negated = pattern.startswith(b"!")
    pattern = pattern[1:] if negated else pattern
    directories_only = pattern.endswith(b"/")
    pattern = pattern[:-1] if directories_only else pattern
    whole_path = b"/" in pattern
    if whole_path:
        pattern = pattern.removeprefix(b"/")
    if not pattern:
        return None
    # git compares the part before the first wildcard as it is, and matches the rest alone: `foo**/bar` means more
    # than it should for that reason, and here as well.
    special = _SPECIAL.search(pattern)
    literal = pattern[: special.start()] if special else pattern
    try:
        regex = re.escape(literal) + _translate(pattern[len(literal) :], whole_path)
    except _NeverMatches:
        return None
    return _Rule(negated, directories_only, whole_path, b"(?:" + regex + b")")


def _strip_spaces(line: bytes) -> bytes:
    """Without the spaces at its end, except one that a backslash escapes. Tabs stay, as in git."""
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if backslashes % 2 and len(stripped) < len(line) else stripped


def _translate(glob: bytes, whole_path: bool) -> bytes:
    """The regular expression of a glob, after git's `dowild`. Raises `_NeverMatches`."""
    regex, at = [], 0
    while at < len(glob):
        character = glob[at : at + 1]
        if character == b"*":
            piece, at = _stars(glob, at, whole_path)
        elif character == b"?":
            piece, at = b"[^/]", at + 1
        elif character == b"[":
            piece, at = _bracket(glob, at + 1)
        elif character == b"\\":
            if at + 1 == len(glob):
                raise _NeverMatches
            piece, at = re.escape(glob[at + 1 : at + 2]), at + 2
        else:
            piece, at = re.escape(character), at + 1
        regex.append(piece)
    return b"".join(regex)


def _stars(glob: bytes, start: int, whole_path: bool) -> tuple[bytes, int]:
    """One `*` or several, from `start`: the regular expression, and where the glob goes on."""
    end = start
    while glob[end : end + 1] == b"*":
        end += 1
    rest = glob[end : end + 2]
    alone = (start == 0 or glob[start - 1 : start] == b"/") and (rest[:1] in (b"", b"/") or rest == b"\\/")
    if not (whole_path and end - start > 1 and alone):
        return b"[^/]*", end
    if rest.startswith(b"/"):
        return b"(?:.*/)?", end + 1
    return b".*", end


def _bracket(glob: bytes, at: int) -> tuple[bytes, int]:
    """A bracket expression, from behind its `[`: the regular expression, and where the glob goes on.

    As in git, a backslash escapes, `^` is `!`, the first character may be `]`, and `[z-a]` is `[z]`.
    """
    negated = glob[at : at + 1] in (b"!", b"^")
    at += negated
    pieces: list[bytes] = []
    previous = b""  # what a following `-` begins its range with; nothing after a range or a class
    first = True
    while first or glob[at : at + 1] != b"]":
        first = False
        character = glob[at : at + 1]
        if character == b"-" and previous and glob[at + 1 : at + 2] not in (b"", b"]"):
            last, at = _escaped(glob, at + 1)
            if previous <= last:
                pieces.append(re.escape(previous) + b"-" + re.escape(last))
            previous = b""
        elif character == b"[" and glob[at + 1 : at + 2] == b":" and (name := _class(glob, at)) is not None:
            if name not in _CLASSES:
                raise _NeverMatches
            pieces.append(_CLASSES[name][1:-1])
            previous, at = b"", at + len(name) + 4
        else:
            previous, at = _escaped(glob, at)
            pieces.append(re.escape(previous))
    allowed = (b"[^" if negated else b"[") + b"".join(pieces) + b"]"
    return b"(?!/)" + allowed, at + 1


def _escaped(glob: bytes, at: int) -> tuple[bytes, int]:
    """The character at `at`, or behind the backslash there, and where the glob goes on."""
    at += glob[at : at + 1] == b"\\"
    if at >= len(glob):
        raise _NeverMatches
    return glob[at : at + 1], at + 1


def _class(glob: bytes, at: int) -> bytes | None:
    """`digit` of the `[:digit:]` at `at`; None where it is no class but two plain characters."""
    end = glob.find(b"]", at + 2)
    if end < 0:
        raise _NeverMatches
    return glob[at + 2 : end - 1] if end > at + 2 and glob[end - 1 : end] == b":" else None


def ignore_file(root: bytes) -> str:
    """The name of the ignore files that count below `root`: `.amlignore` where it has one, else `.gitignore`."""
    return AMLIGNORE if os.path.lexists(os.path.join(root, AMLIGNORE.encode())) else GITIGNORE


# The rules on the way from the root to a directory, each with the length of the path that is left off for it.
_Chain: TypeAlias = "tuple[tuple[int, Rules], ...]"


def walk(root: bytes, exclude: Iterable[bytes] = ()) -> Iterator[tuple[bytes, os.DirEntry[bytes]]]:
    """Every entry below `root` that is not a directory and not ignored, with its path relative to `root`.

    Args:
        root: an existing directory.
        exclude: absolute paths that are left out whatever the rules say (the workspace's own folder).

    Raises:
        SnapshotException: a directory or an ignore file cannot be read.
    """
    banned = _below(root, exclude)
    rules_name = ignore_file(root).encode()
    # A directory, its path with a slash at the end, the rules above it, and whether a `!` rule asked for it.
    pending: list[tuple[bytes, bytes, _Chain, bool]] = [(root, b"", (), True)]
    while pending:
        directory, prefix, chain, asked_for = pending.pop()
        entries = _scan(directory)
        names = {entry.name for entry in entries}
        if not asked_for and not _ENVIRONMENT_MARKS.isdisjoint(names):
            continue
        if rules_name in names:
            content = _read(os.path.join(directory, rules_name), follow=rules_name == AMLIGNORE.encode())
            chain = ((len(prefix), Rules(content)), *chain)
        for entry in entries:
            name = entry.name
            path = prefix + name
            is_directory = entry.is_dir(follow_symlinks=False)
            ignored = _decide(chain, name, path, is_directory)
            if ignored or name == _NEVER or path in banned:
                continue
            if ignored is None and name in (_DEFAULT_DIRECTORIES if is_directory else _DEFAULT_FILES):
                continue
            if is_directory:
                pending.append((entry.path, path + b"/", chain, ignored is False))
            else:
                yield path, entry


def _decide(chain: _Chain, name: bytes, path: bytes, is_directory: bool) -> bool | None:
    for start, rules in chain:
        ignored = rules.ignores(name, path[start:], is_directory)
        if ignored is not None:
            return ignored
    return None


def _below(root: bytes, paths: Iterable[bytes]) -> frozenset[bytes]:
    """Those of the absolute paths that lie below `root`, relative to it."""
    base = os.path.join(os.path.realpath(root), b"")
    resolved = (os.path.realpath(path) for path in paths)
    return frozenset(path[len(base) :] for path in resolved if path.startswith(base))


def _scan(directory: bytes) -> list[os.DirEntry[bytes]]:
    try:
        with os.scandir(directory) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []  # it went away while the tree was walked
    except OSError as error:
        raise SnapshotException(
            f"The directory {printable(directory)} cannot be read: {error.strerror}. "
            "Mend its owner or mode, or name it in the ignore file of source_directory."
        ) from error


def _read(path: bytes, follow: bool) -> bytes:
    """The content of an ignore file. Like git, `.gitignore` as a symbolic link or a directory holds no rules."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOENT, errno.ENXIO):
            return b""
        raise SnapshotException(
            f"The ignore file {printable(path)} cannot be read: {error.strerror}. Without its rules the snapshot "
            "might hold what should stay out; mend its owner or mode, or remove it."
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return b""
    with open(descriptor, "rb") as file:
        return file.read()
