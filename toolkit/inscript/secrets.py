"""The secrets of a workspace: one file each that nobody else may read. Their values are in no log and no run."""

import os
import re
from typing import List, Optional

from toolkit.inscript import elsewhere
from toolkit.inscript.errors import UserErrorException
from toolkit.inscript.files import write_text
from toolkit.inscript.workspace_directory import WorkspaceDirectory


def get(directory: WorkspaceDirectory, name: str) -> Optional[str]:
    """The value of a secret, or None where there is none of this name."""
    try:
        with open(_path(directory, name), encoding="utf-8", newline="") as file:
            return file.read()
    except FileNotFoundError:
        return None


def put(directory: WorkspaceDirectory, name: str, value: str) -> None:
    """Keep a secret, in place of the one that has this name."""
    path = _path(directory, name)
    if not isinstance(value, str):
        raise UserErrorException("the value of the secret '%s' is a %s: it must be text" % (name, type(value).__name__))
    elsewhere.refuse(directory, "the key vault")
    os.makedirs(directory.secrets, 0o700, exist_ok=True)
    write_text(path, value, 0o600)


def remove(directory: WorkspaceDirectory, name: str) -> bool:
    """Forget a secret. Whether there was one."""
    try:
        os.unlink(_path(directory, name))
    except FileNotFoundError:
        return False
    return True


def names(directory: WorkspaceDirectory) -> List[str]:
    """The names of all secrets."""
    elsewhere.refuse(directory, "the key vault")
    try:
        found = os.listdir(directory.secrets)
    except FileNotFoundError:
        return []
    return sorted(name for name in found if "." not in name)  # as one has that is being written


def _path(directory: WorkspaceDirectory, name: str) -> str:
    if not isinstance(name, str) or not re.match(r"[A-Za-z0-9][A-Za-z0-9_-]{0,126}\Z", name):
        raise UserErrorException(
            "%r cannot be the name of a secret: use 1 to 127 letters, digits, hyphens and underscores, a letter or "
            "digit first" % (name,)
        )
    return os.path.join(directory.secrets, name)
