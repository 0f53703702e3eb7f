"""The `config.json` that names a workspace: found from a folder upwards, and read."""

import json
import os
from typing import Any, Dict

from toolkit.inscript.errors import UserErrorException

FOLDERS = (".toolkit", ".azureml", "aml_config", "")


def find(start: str, file_name: str = "config.json") -> str:
    """The path of the nearest `config.json`: in `.toolkit/`, `.azureml/`, `aml_config/` or plain, from `start` upwards.

    Args:
        start: a folder, or the file itself.

    Raises:
        UserErrorException: there is none.
    """
    start = os.path.abspath(start)
    if os.path.isfile(start):
        return start
    for folder in FOLDERS[:-1]:  # as Azure ML SDK v1 wrote it, `.azureml/ws.json`; ours is in `.toolkit/`
        beside = os.path.join(os.path.dirname(os.path.dirname(start)), folder, os.path.basename(start))
        if os.path.basename(os.path.dirname(start)) in FOLDERS[:-1] and os.path.isfile(beside):
            return beside
    folder = start
    while True:
        for inner in FOLDERS:
            candidate = os.path.join(folder, inner, file_name)
            if os.path.isfile(candidate):
                return candidate
        if folder == os.path.dirname(folder):
            break
        folder = os.path.dirname(folder)
    raise UserErrorException(
        "We could not find %s in: %s or in its parent directories. It names the workspace: run `toolkit init NAME` in "
        'the project\'s folder, or write .toolkit/%s with {"workspace_name": "NAME"}' % (file_name, start, file_name)
    )


def read(file: str) -> Dict[str, str]:
    """What a `config.json` says, the name of the workspace for certain.

    Raises:
        UserErrorException: it is broken, or names no workspace.
    """
    try:
        with open(file, encoding="utf-8") as text:
            settings: Any = json.load(text)
    except ValueError as error:
        raise UserErrorException(
            "%s is not valid JSON: %s. Mend it, or write it anew with `toolkit init`" % (file, error)
        )
    name = settings.get("workspace_name") if isinstance(settings, dict) else None
    if not name:
        raise UserErrorException('%s names no workspace: it needs {"workspace_name": "NAME"}' % file)
    return {key: str(value) for key, value in settings.items()}
