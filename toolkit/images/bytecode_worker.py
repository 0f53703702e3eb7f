"""Compiles the sources of packages into parts of image layers. Run by the Python that the bytecode is for.

    python -s -S -W ignore bytecode_worker.py PROCESSES < GROUPS.json

GROUPS.json: [[[[source file, its name in the image, the bytecode's name in the image], ...], file to write], ...].
Standard library only. Each group is compiled in a process that is forked from the same state: what a process has
compiled before shows in how bytecode refers to strings.
"""

import sys

del sys.path[0]  # the folder of this file, whose other modules are not for this Python

import encodings.latin_1  # noqa: E402 (for the state that all groups start from)
import encodings.utf_8_sig  # noqa: E402, F401
import importlib.util  # noqa: E402
import json  # noqa: E402
import marshal  # noqa: E402
import os  # noqa: E402
import tarfile  # noqa: E402
from typing import Any  # noqa: E402

_NEVER_CHECKED = (1).to_bytes(4, "little")  # a hash instead of a time, which nothing compares: PEP 552


def compiled(source: str, name: str) -> "bytes | None":
    """The content of the bytecode file of a source, or None where it is no Python of this version."""
    with open(source, "rb") as file:
        text = file.read()
    try:
        code = compile(text, "/" + name, "exec", dont_inherit=True, optimize=0)
        body = marshal.dumps(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None
    return importlib.util.MAGIC_NUMBER + _NEVER_CHECKED + importlib.util.source_hash(text) + body


def write(files: "list[list[str]]", path: str) -> None:
    """Compile a group into a file of tar members."""
    with open(path, "wb") as out:
        for source, name, cached in files:
            content = compiled(source, name)
            if content is None:
                continue
            member = tarfile.TarInfo(cached)
            member.size, member.mode = len(content), 0o644
            out.write(member.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape"))
            out.write(content + bytes(-len(content) % tarfile.BLOCKSIZE))


def main(groups: "list[Any]", processes: int) -> bool:
    """Compile all groups, `processes` at a time; whether all went well."""
    running, failed = 0, 0
    for files, path in groups + [[None, None]] * processes:
        if running == processes or (files is None and running):
            failed |= os.wait()[1]
            running -= 1
        if files is not None:
            running += 1
            if os.fork() == 0:
                code = 1
                try:
                    write(files, path)
                    code = 0
                finally:
                    os._exit(code)
    return not failed


if __name__ == "__main__":
    sys.exit(0 if main(json.load(sys.stdin), int(sys.argv[1])) else 1)
