"""What a launcher does before the script starts, and after it: links, copies and folders, as the plan has them.

{"do": "folder", "target": PATH}
{"do": "link", "source": PATH, "target": PATH}          one link to a file or folder
{"do": "files", "definition": …, "target": PATH, "link": BOOL}   each file of a data set, linked or copied
{"do": "read", "input": NAME, "sources": […]}           nothing: the script reads this itself, by `toolkit.data.inputs`
"""

import os
import shutil
from typing import Any, Dict, List

from toolkit.data.file_dataset import place
from toolkit.data.files import files_of
from toolkit.data.patterns import checked
from toolkit.inscript.errors import UserErrorException


def provide(steps: List[Dict[str, Any]]) -> None:
    """Make what the script is promised.

    Raises:
        UserErrorException: an input has no files, or something is in the way.
    """
    for step in steps:
        if step["do"] == "read":
            continue
        target = step["target"]
        if step["do"] == "folder":
            os.makedirs(target, exist_ok=True)
        elif step["do"] == "link":
            _link(step["source"], target)
        else:
            _files(step)


def _link(source: str, target: str) -> None:
    _free(target)
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.symlink(source, target)


def _free(target: str) -> None:
    """Raise where something of the run's own has the place of an input: it would be taken away with the input."""
    if os.path.lexists(target):
        raise UserErrorException("'%s' is there already: use another path_on_compute" % target)


def _files(step: Dict[str, Any]) -> None:
    files = files_of(step["definition"], None)
    if not files and not step["definition"].get("file_steps"):
        sources = ", ".join(str(source["path"] or source.get("root")) for source in step["definition"]["sources"])
        raise UserErrorException("the input has no files: there is nothing at %s any more" % sources)
    _free(step["target"])
    os.makedirs(step["target"])
    for file in files:
        place(file, os.path.join(step["target"], *checked(file.name).split("/")), step["link"])


def clean(steps: List[Dict[str, Any]]) -> None:
    """Take the links and copies of inputs away; what they were made of stays, and so do outputs."""
    for step in steps:
        if step["do"] == "link" and os.path.islink(step["target"]):
            os.unlink(step["target"])
        elif step["do"] == "files":
            shutil.rmtree(step["target"], ignore_errors=True)
