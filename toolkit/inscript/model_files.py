"""The files that become a model: a file, a folder, or chosen parts of a folder."""

import os
import shutil
from typing import List, Optional

from toolkit.inscript.errors import ModelPathNotFoundException
from toolkit.inscript.files import is_within


def check(path: str, child_paths: Optional[List[str]] = None) -> None:
    """See that there is what is to be registered.

    Raises:
        ModelPathNotFoundException: there is no such file or folder, or the folder has not all of `child_paths`.
    """
    if not os.path.exists(path):
        raise ModelPathNotFoundException(
            'Error, provided model path "%s" cannot be found (looked in %s)' % (path, os.getcwd())
        )
    for child in child_paths or []:
        whole = os.path.join(path, child)
        if not os.path.isdir(path) or not os.path.exists(whole) or not is_within(path, whole):
            raise ModelPathNotFoundException(
                'Error, the folder "%s" has no "%s", which child_paths names' % (path, child)
            )


def copy_chosen(path: str, folder: str, child_paths: Optional[List[str]] = None) -> None:
    """Copy a folder's content into the folder `folder`, or of it only `child_paths`, each under its own path."""
    for child in child_paths or sorted(os.listdir(path)):
        source, target = os.path.join(path, child), os.path.join(folder, child)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if os.path.isdir(source):
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)


def copy(path: str, folder: str, child_paths: Optional[List[str]] = None) -> str:
    """Copy a file or folder into the folder `folder`, under its own name. Returns where it is."""
    target = os.path.join(folder, os.path.basename(os.path.abspath(path)))
    if os.path.isdir(path):
        os.makedirs(target, exist_ok=True)
        copy_chosen(path, target, child_paths)
    else:
        shutil.copyfile(path, target)
    return target


def has_links(path: str) -> bool:
    """Whether a file is a symbolic link, or a folder holds one: what that leads to may not be seen from elsewhere."""
    if os.path.islink(path):
        return True
    return any(
        os.path.islink(os.path.join(parent, name))
        for parent, folders, files in os.walk(path)
        for name in folders + files
    )
