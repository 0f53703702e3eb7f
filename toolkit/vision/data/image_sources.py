"""What a folder of images is to become: which files are taken, under which names, with which labels.

Nothing is opened but lists; folders are read by `os.scandir`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.vision.data.archives import is_archive_name
from toolkit.vision.data.image_directory import UNLABELED, ImageDirectory, is_image_directory
from toolkit.vision.data.images import is_image_name
from toolkit.vision.directory import META
from toolkit.vision.errors import InvalidDatasetError

DATASET = "Input dataset"  # what it is called in messages
IMAGES = "image"  # the folder of images in an ImageDirectory
_OF_THE_SYSTEM = "__MACOSX"


@dataclass(frozen=True)
class Plan:
    """N files that are to become the images of an ImageDirectory, in its order.

    Attributes:
        sources: N paths relative to the folder.
        targets: N paths in the ImageDirectory.
        labels: N class ids, or UNLABELED.
        categories: the names of the classes by id; empty where nothing is labelled.
        ids: N ids of rows; None: counted.
        columns: further columns, N values each.
        urls: where the files are to be fetched from that are not there, by position.
        skipped: what is not taken, and why.
    """

    sources: list[str]
    targets: list[str]
    labels: list[int]
    categories: dict[int, str]
    ids: list[Any] | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)
    urls: dict[int, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.categories.values(), *self.targets):
            if not name.isprintable():  # only such a one can be what UTF-8 has no bytes for
                _require_utf_8(name)


def _require_utf_8(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InvalidDatasetError(
            DATASET, f"the name {os.fsencode(name)!r} is not UTF-8, as lists of images are", "Rename it."
        ) from error


class Tree:
    """The folders and files below a folder; some of the files may not be on the disk (yet).

    Args:
        root: the folder, which has all folders.
        contents: of the files that are not on the disk, by path relative to `root`.
    """

    def __init__(self, root: Path, contents: dict[str, bytes] | None = None) -> None:
        self.root = root
        self.contents = contents or {}
        self._extra: dict[str, list[str]] = {}
        for path in self.contents:
            folder, _, name = path.rpartition("/")
            self._extra.setdefault(folder, []).append(name)

    def entries(self, folder: str = "") -> tuple[list[str], list[str]]:
        """The names of the folders and of the files in a folder, sorted; links are followed, hidden ones left out.

        Raises:
            InvalidDatasetError: it cannot be read.
        """
        folders, files = [], self._extra.get(folder, [])[:]
        try:
            with os.scandir(self.root / folder) as found:
                for entry in found:
                    if entry.is_dir():
                        folders.append(entry.name)
                    elif entry.is_file():
                        files.append(entry.name)
        except OSError as error:
            raise InvalidDatasetError(DATASET, f"{folder or self.root} cannot be read ({error.strerror})") from error
        return _shown(folders), _shown(files)

    def has_file(self, path: str) -> bool:
        return path in self.contents or (self.root / path).is_file()

    def walk(self) -> list[str]:
        """The paths of all files, sorted folder by folder."""
        found: list[str] = []
        visited: set[tuple[int, int]] = set()  # a link may lead to a folder around it

        def visit(folder: str) -> None:
            facts = os.stat(self.root / folder)
            if (facts.st_dev, facts.st_ino) in visited:
                return
            visited.add((facts.st_dev, facts.st_ino))
            folders, files = self.entries(folder)
            prefix = f"{folder}/" if folder else ""
            found.extend(prefix + name for name in files)
            for name in folders:
                visit(prefix + name)

        visit("")
        return found

    def descend(self) -> Tree:
        """Of an unpacked archive, the folder that its images are in, in or below the folders of their classes."""
        inner = ""
        while True:
            folders, files = self.entries(inner)
            if len(folders) != 1 or files:
                break
            inner = f"{inner}/{folders[0]}".lstrip("/")
        if not folders and inner and not (self.root / inner / META).exists():
            inner = inner.rpartition("/")[0]  # one class: its folder is its name
        if not inner:
            return self
        below = {
            path[len(inner) + 1 :]: content for path, content in self.contents.items() if path.startswith(f"{inner}/")
        }
        return Tree(self.root / inner, below)


def _shown(names: list[str]) -> list[str]:
    return sorted(name for name in names if name[0] != "." and name != _OF_THE_SYSTEM)


def of_image_directory(tree: Tree) -> Plan | None:
    """The plan of a folder that is an ImageDirectory already: the same names, labels and ids."""
    if not is_image_directory(tree.root):
        return None
    found = ImageDirectory.load(tree.root, DATASET)
    return Plan(found.files, found.files, found.labels.tolist(), found.categories, found.ids, found.columns)


def of_class_folders(tree: Tree) -> Plan | None:
    """The plan of a folder that has a folder with images for each class; None: no folder at this level has any.

    Class ids count the folders that have images in them, in the order of their names.
    """
    skipped: dict[str, str] = {}
    sources: list[str] = []
    targets: list[str] = []
    labels: list[int] = []
    categories: dict[int, str] = {}
    folders, files = tree.entries()
    for folder in folders:
        below, names = tree.entries(folder)
        images = [name for name in names if is_image_name(name)]
        skipped.update((f"{folder}/{name}", _why_not(name)) for name in names if not is_image_name(name))
        skipped.update((f"{folder}/{name}/", "a folder in the folder of a class") for name in below)
        if images:
            label = len(categories)
            categories[label] = folder
            sources += [f"{folder}/{name}" for name in images]
            targets += [f"{IMAGES}/{label}_{number}{_suffix(name)}" for number, name in enumerate(images)]
            labels += [label] * len(images)
        elif not below and not names:
            skipped[f"{folder}/"] = "an empty folder: it is no class"
    if not sources:
        return None
    skipped.update((name, "in no folder of a class" if is_image_name(name) else _why_not(name)) for name in files)
    return Plan(sources, targets, labels, categories, skipped=skipped)


def of_any_images(tree: Tree) -> Plan:
    """The plan of all images below a folder, without labels."""
    found = tree.walk()
    sources = [name for name in found if is_image_name(name)]
    skipped = {name: _why_not(name) for name in found if not is_image_name(name)}
    return Plan(sources, [f"{IMAGES}/{name}" for name in sources], [UNLABELED] * len(sources), {}, skipped=skipped)


def plan(tree: Tree, of_coco: Callable[[Tree], Plan | None]) -> Plan:
    """The plan of a folder by the first of the designer's four rules that it fits.

    Raises:
        InvalidDatasetError: its lists, or folders, cannot be read.
    """
    for rule in (of_image_directory, of_coco, of_class_folders):
        found = rule(tree)
        if found is not None:
            return found
    return of_any_images(tree)


def _suffix(name: str) -> str:
    return name[name.rfind(".") :].lower()


def _why_not(name: str) -> str:
    if is_archive_name(name):
        return "an archive inside: it is not unpacked"
    suffix = os.path.splitext(name)[1]
    return f"{suffix} is not the suffix of an image" if suffix else "without the suffix of an image"
