"""Who signs in to which container registry: kept in the toolkit's home, a file an address that only its owner reads.

No definition of a run, registered environment or log has any of it: they name the address.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from pathlib import Path

from toolkit.errors import UserErrorException, storage_errors
from toolkit.paths import home

_FOLDER_MODE = 0o700


def save(address: str, username: str, password: str) -> None:
    """Keep the credentials of a registry; they take the place of what was kept for it.

    Args:
        address: as in "myregistry.azurecr.io", "localhost:5000" or "https://localhost:5000/v2/".

    Raises:
        UserErrorException: the address is none.
        StorageError: the disk is full, or the folder cannot be written.
    """
    file = _file(address)
    with storage_errors("cannot keep the credentials of a registry", file):
        file.parent.mkdir(parents=True, exist_ok=True, mode=_FOLDER_MODE)
        descriptor, staging = tempfile.mkstemp(dir=file.parent, prefix=".")  # 0600 from its first byte on
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
                json.dump({"address": host(address), "username": username, "password": password}, handle)
            os.replace(staging, file)
        except BaseException:
            os.unlink(staging)
            raise


def read(address: str) -> dict[str, str] | None:
    """What is kept for a registry (`address`, `username`, `password`), or None."""
    if not address:
        return None
    try:
        with _file(address).open(encoding="utf-8") as handle:
            kept: dict[str, str] = json.load(handle)
    except (FileNotFoundError, ValueError):
        return None
    return kept


def host(address: str) -> str:
    """The part of an address that names the registry: its host and port, without scheme and path.

    Raises:
        UserErrorException: there is no host in it.
    """
    found = re.sub(r"^[a-zA-Z]+://", "", address.strip()).partition("/")[0].rpartition("@")[2].lower()
    if not re.fullmatch(r"[a-z0-9\[][a-z0-9.\-\[\]:_]*", found):
        raise UserErrorException(
            f"{address!r} is not the address of a container registry: write its host, as in 'myregistry.azurecr.io' "
            "or 'localhost:5000'"
        )
    return found


def _file(address: str) -> Path:
    return home().root / "credentials" / f"{host(address).replace(':', '_')}.json"
