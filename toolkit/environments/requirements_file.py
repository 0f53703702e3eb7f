"""pip's requirement lines: read from files with their includes, checked, and parted from the options among them."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote, urlsplit

from toolkit.errors import EnvironmentSpecificationError

_UV_OPTIONS = {
    "-i": "--index-url", "--index-url": "--index-url", "--extra-index-url": "--extra-index-url",
    "-f": "--find-links", "--find-links": "--find-links", "--no-binary": "--no-binary",
    "--only-binary": "--only-binary", "--trusted-host": "--allow-insecure-host",
}  # fmt: skip
_UV_FLAGS = {"--no-index": ["--no-index"], "--pre": ["--prerelease", "allow"]}
_IGNORED_FLAGS = ("--prefer-binary", "--require-hashes")
_ARCHIVES = (".whl", ".tar.gz", ".zip", ".tar.bz2")
_MAXIMUM_DEPTH = 10


@dataclass(frozen=True)
class Requirements:
    """The lines of a requirements file and of what it includes, and the constraints that it names."""

    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()

    def __add__(self, other: Requirements) -> Requirements:
        return Requirements(self.lines + other.lines, self.constraints + other.constraints)


def read(path: Path, depth: int = 0) -> Requirements:
    """The requirements in a file. `-r` and `-c` files are looked for beside it and read in.

    Raises:
        EnvironmentSpecificationError: with the file, the line, what is wrong there and what to write instead.
    """
    if depth > _MAXIMUM_DEPTH:
        raise EnvironmentSpecificationError(f"{path} is included {depth} files deep: do the files include each other?")
    found = Requirements()
    for number, line in _logical_lines(read_text(path, "requirements file")):
        found += one_line(line, path, number, depth)
    return found


def one_line(line: str, file: Path, number: int, depth: int = 0) -> Requirements:
    """What one line of `file` asks for, includes read in."""
    place = f"{file}, line {number}"
    line = _without_comment(line)
    if not line:
        return Requirements()
    include = re.fullmatch(r"(-r|--requirement|-c|--constraint)[\s=]*(.+)", line)
    if include is None:
        return Requirements((check(line, place, file.parent),))
    name = include[2].strip().strip("'\"")
    if "://" in name:
        raise EnvironmentSpecificationError(
            f"{place}: '{line}' includes a file from the network; download it beside {file.name} and include that"
        )
    target = file.parent / name
    if not target.is_file():
        raise EnvironmentSpecificationError(
            f"{place}: '{line}' includes {target}, which does not exist; the path counts from {file.parent}"
        )
    inner = read(target, depth + 1)
    if include[1] in ("-c", "--constraint"):
        return Requirements(constraints=inner.lines + inner.constraints)
    return inner


def check(line: str, place: str, folder: Path | None = None) -> str:
    """The line as uv will get it; a wheel that is named by its path gets its whole path.

    Raises:
        EnvironmentSpecificationError: the line is not one of pip's, or only works on this machine.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    if line.startswith(("-e", "--editable")):
        _refuse_folder(place, line)
    if line.startswith("-"):
        return _option(line, place, folder)
    if re.match(r"[./~]|[A-Za-z0-9_.-]+/[^@\s]*$", line):
        return _local_file(line, place, folder)
    if re.match(r"(git|hg|svn|bzr)\+|https?://|file://", line):
        return line
    try:
        Requirement(line.split(" --")[0])
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentSpecificationError(
            f"{place}: '{line}' is not a pip requirement: {reason}; write 'numpy', 'numpy==1.26.4' or 'numpy>=1.24,<2'"
        ) from None
    return line


def uv_options(lines: tuple[str, ...] | list[str], place: str = "the pip section") -> list[str]:
    """The option lines among `lines` as arguments of `uv pip`, for solving and for installing.

    Raises:
        EnvironmentSpecificationError: an option that the toolkit does not take.
    """
    arguments: list[str] = []
    for line in lines:
        if not line.startswith("-"):
            continue
        words = shlex.split(re.sub(r"^(--[a-z-]+)=", r"\1 ", line))
        name, values = words[0], words[1:]
        if name in _UV_FLAGS and not values:
            arguments += _UV_FLAGS[name]
        elif name in _UV_OPTIONS and len(values) == 1:
            arguments += [_UV_OPTIONS[name], values[0]]
        elif name not in _IGNORED_FLAGS:
            known = ", ".join([*_UV_OPTIONS, *_UV_FLAGS, "-r", "-c"])
            raise EnvironmentSpecificationError(
                f"{place}: the option '{line}' is not taken in an environment; taken are {known}"
            )
    return arguments


def read_text(path: Path, kind: str) -> str:
    """The text of a specification file.

    Raises:
        EnvironmentSpecificationError: no such file, not a file, or not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise EnvironmentSpecificationError(
            f"the {kind} {path} does not exist; relative paths count from {Path.cwd()}"
        ) from None
    except UnicodeDecodeError:
        raise EnvironmentSpecificationError(f"the {kind} {path} is not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise EnvironmentSpecificationError(f"the {kind} {path} cannot be read: {error.strerror}") from error


def _option(line: str, place: str, folder: Path | None) -> str:
    """An option line that is known; a folder of wheels gets its whole path."""
    words = uv_options([line], place)
    if folder is not None and words[:1] == ["--find-links"] and "://" not in words[1]:
        return f"--find-links {shlex.quote(str((folder / Path(words[1]).expanduser()).absolute()))}"
    return line


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Lines with their numbers; a line that ends in a backslash goes on in the next one."""
    lines: list[tuple[int, str]] = []
    held, start = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        start = start or number
        held += line.rstrip().removesuffix("\\")
        if line.rstrip().endswith("\\"):
            continue
        lines.append((start, held))
        held, start = "", 0
    return [*lines, (start, held)] if held else lines


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line).strip()


def _local_file(line: str, place: str, folder: Path | None) -> str:
    path = Path(line).expanduser()
    path = path if path.is_absolute() or folder is None else folder / path
    if not line.endswith(_ARCHIVES):
        _refuse_folder(place, line)
    if not path.is_file():
        raise EnvironmentSpecificationError(f"{place}: '{line}' names the file {path}, which does not exist")
    return str(path.absolute().as_uri())


def _refuse_folder(place: str, line: str) -> NoReturn:
    raise EnvironmentSpecificationError(
        f"{place}: '{line}' would install a folder of this machine, which an environment cannot keep: put the code "
        "into source_directory, or build a wheel of it and name that"
    )


def local_path(url: str) -> Path:
    """The path in a `file://` URL."""
    return Path(unquote(urlsplit(url).path))
