"""What to tell a person whose source directory is too large: what is large in it, and which line leaves it out."""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict

from toolkit.snapshots import ignore
from toolkit.snapshots.survey import Survey, text

_DOMINANT = 0.9  # a directory is worth opening in the table of large paths where one child has this share
_ROWS = 10
_MB = 1_000_000  # bytes, as in `snapshot_limit_mb`


def lifted(limit_bytes: int) -> int:
    """The limit of a snapshot, or what the script lifted it to in the way that scripts of Azure ML SDK v1 did.

    That is by setting `SNAPSHOT_MAX_SIZE_BYTES` of `azureml._restclient.snapshots_client`.
    """
    module = sys.modules.get("azureml._restclient.snapshots_client")
    asked = getattr(module, "SNAPSHOT_MAX_SIZE_BYTES", None)
    if limit_bytes == 0 or not isinstance(asked, (int, float)) or asked == getattr(module, "DEFAULT", None):
        return limit_bytes
    return max(limit_bytes, int(asked))


def over_the_limit(found: Survey, limit_bytes: int) -> str:
    sizes, children = _tree(found)
    rows = sorted((_dominant(path, sizes, children) for path in children[b""]), key=lambda path: -sizes[path])
    # A name without a slash counts in every directory: anchor it where that would hit something else as well.
    deeper = {os.path.basename(path) for path in sizes if b"/" in path}
    table = []
    for path in rows[:_ROWS]:
        line = ("/" if path in deeper else "") + ignore_line(path) + ("/" if path in children else "")
        table.append(f"  {_megabytes(sizes[path]):>12}  {line}")
    return "\n".join(
        [
            f"Your total snapshot size exceeds the limit of {limit_bytes / _MB:g} MB: source_directory "
            f"{ignore.printable(found.root)} has {_megabytes(found.bytes)} in {len(found.files):,} files. The largest:",
            *table,
            f"Add the lines of what the script does not need to {file_to_add_to(found)}.",
            "Or raise the limit: snapshot_limit_mb in the workspace's workspace.yaml, 0 for none.",
        ]
    )


def _tree(found: Survey) -> tuple[dict[bytes, int], dict[bytes, set[bytes]]]:
    """The size of every file and directory, and what each directory holds; the root is b""."""
    sizes: dict[bytes, int] = defaultdict(int)
    children: dict[bytes, set[bytes]] = defaultdict(set)
    for path, status in found.files:
        while path:
            sizes[path] += status.st_size
            parent = os.path.dirname(path)
            children[parent].add(path)
            path = parent
    return sizes, dict(children)


def _dominant(path: bytes, sizes: dict[bytes, int], children: dict[bytes, set[bytes]]) -> bytes:
    """The path itself, or what it is large because of: the child, or its child, with nearly all of its size."""
    while path in children:
        largest = max(children[path], key=lambda child: (sizes[child], child))
        if sizes[largest] < _DOMINANT * sizes[path]:
            break
        path = largest
    return path


def _megabytes(size: int) -> str:
    return f"{size / _MB:,.1f} MB" if size >= _MB // 10 else f"{size / 1000:,.1f} KB"


def ignore_line(path: bytes) -> str:
    """The line of an ignore file that means this path, and can be written in UTF-8 on one line."""
    escaped = re.sub(rb"([*?\[\\])|^([#!])|( )$", rb"\\\1\2\3", path)
    return re.sub(r"[\udc80-\udcff\r\n]", "?", text(escaped))


def file_to_add_to(found: Survey) -> str:
    """The ignore file to add a line to. A new `.amlignore` would put every `.gitignore` out of force."""
    name = ignore.ignore_file(found.root)
    path = ignore.printable(os.path.join(found.root, name.encode()))
    if name == ignore.AMLIGNORE:
        return path
    git = name.encode()
    if os.path.lexists(os.path.join(found.root, git)) or any(file.endswith(b"/" + git) for file, _ in found.files):
        return f"{path} (not to a new {ignore.AMLIGNORE}, which would replace it)"
    return f"{ignore.printable(found.root)}/{ignore.AMLIGNORE}"
