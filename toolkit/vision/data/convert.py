"""Convert to Image Directory: a folder or an archive of images becomes an ImageDirectory.

Taken are, by the first rule that fits: an ImageDirectory; what a COCO file lists; the images in the folders of the
first level, each a class; all images, without labels.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.data.archives import ARCHIVE_SUFFIXES, is_archive_name, unpack
from toolkit.vision.data.coco import download, of_coco
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.image_sources import DATASET, Plan, Tree, plan
from toolkit.vision.data.images import IMAGE_SUFFIXES, Header, UnreadableImage, is_image_name, read_header
from toolkit.vision.directory import IMAGES, check_output, new_directory
from toolkit.vision.errors import InvalidDatasetError

Progress = Callable[[float, float], None]
_AT_ONCE = (
    1 << 18
)  # bytes of a file that are read to look at and to write at once; larger ones are copied by the kernel
_FILES_A_STEP = 256  # between two reports of progress
_NAMED = 10  # of what is skipped, in a message
_UNPACKED, _DOWNLOADED = ".unpacked", ".downloaded"  # while it works
_LAYOUT = "Put the images of each class into a folder of its own, named as the class."


@dataclass(frozen=True)
class Conversion:
    """What a module made of images.

    Attributes:
        directory: the ImageDirectory that was written.
        skipped: files that were not taken, and why.
        truncated: files that were taken, and that end early.
    """

    directory: ImageDirectory
    skipped: dict[str, str] = field(default_factory=dict)
    truncated: list[str] = field(default_factory=list)

    @property
    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "images": len(self.directory), "classes": len(self.directory.categories), "skipped": self.skipped,
            "truncated": self.truncated,
        }  # fmt: skip

    @property
    def lines(self) -> list[str]:
        """For people."""
        classes = len(self.directory.categories)
        labels = f"{classes} classes" if classes > 1 else "1 class" if classes else "no labels"
        lines = [f"{len(self.directory)} images, {labels}"]
        if self.skipped:
            lines.append(f"{len(self.skipped)} files skipped: {_listed(self.skipped)}")
        if self.truncated:
            lines.append(f"{len(self.truncated)} images end early: {', '.join(self.truncated[:_NAMED])}")
        return lines


def convert_to_image_directory(
    input_path: str | os.PathLike[str],
    output_path: str | os.PathLike[str],
    *,
    progress: Progress | None = None,
) -> Conversion:
    """Make an ImageDirectory of a folder or an archive of images.

    Args:
        input_path: a folder, or a .zip, .tar, .tar.gz, .tgz, .tar.bz2 or .tar.xz; of a folder with an archive in it,
            the archive is taken. A folder for each class gives the labels.
        output_path: the ImageDirectory that is written.
        progress: called as progress(files done, files in all).

    Raises:
        InvalidDatasetError: it does not exist, has no image that can be opened, or is an archive that is damaged or
            not safe to unpack; images that a COCO file names cannot be fetched.
        ModuleOutOfMemoryError: the disk is full.
    """
    source = _source(Path(os.path.abspath(input_path)))
    output = Path(os.path.abspath(output_path))
    _check_apart(source, output)
    check_output(output, IMAGES)
    tree = Tree(source)
    made = None if source.is_file() else _plan(tree, source)
    with new_directory(output, IMAGES) as staging:
        if made is None:
            held = unpack(source, staging / _UNPACKED, DATASET, hold=is_image_name, progress=progress)
            tree = Tree(staging / _UNPACKED, held).descend()
            made = _plan(tree, source)
        conversion = _place(made, tree, staging, progress)
        shutil.rmtree(staging / _UNPACKED, ignore_errors=True)
        conversion.directory.save(staging)
    return replace(conversion, directory=replace(conversion.directory, root=output))


def _plan(tree: Tree, source: Path) -> Plan:
    made = plan(tree, of_coco)
    if not made.sources:
        raise _no_image(source, made.skipped)
    return made


def _source(path: Path) -> Path:
    """The folder, or the archive, that is to be converted."""
    allowed = ", ".join(ARCHIVE_SUFFIXES)
    if not path.exists():
        raise InvalidDatasetError(DATASET, f"{path} does not exist", "Check the path, or retry: it may be transient.")
    if path.is_file():
        if not is_archive_name(path.name):
            raise InvalidDatasetError(DATASET, f"{path} is neither a folder nor an archive", f"Allowed are {allowed}.")
        return path
    if not path.is_dir():
        raise InvalidDatasetError(DATASET, f"{path} is neither a folder nor an archive", f"Allowed are {allowed}.")
    folders, files = Tree(path).entries()
    archive = next((name for name in files if is_archive_name(name)), None)
    if archive is None:
        return path
    ignored = len(folders) + len(files) - 1
    if ignored:
        print(f"Warning: {path / archive} is taken, and {ignored} other entries of its folder are not", file=sys.stderr)
    return path / archive


def _check_apart(source: Path, output: Path) -> None:
    inner, outer = os.path.realpath(output), os.path.realpath(source)
    if inner == outer or f"{inner}/".startswith(f"{outer}/") or f"{outer}/".startswith(f"{inner}/"):
        raise UserErrorException(f"output_path {output} and input_path {source} are in each other: give another output")


def _place(made: Plan, tree: Tree, staging: Path, progress: Progress | None) -> Conversion:
    """Bring the files of a plan to their places; those that are no images are skipped."""
    fetched = download(made.urls, staging / _DOWNLOADED, progress=progress) if made.urls else {}
    own = tree.root.is_relative_to(staging)  # unpacked here: moved, not copied
    skipped, truncated = dict(made.skipped), []
    kept, sizes = [], []
    bring = _Bringer(staging)
    for position, (source, target) in enumerate(zip(made.sources, made.targets)):
        try:
            if source in tree.contents:
                header = bring.content(tree.contents[source], target)
            elif own or position in fetched:
                header = bring.own(fetched.get(position) or f"{tree.root}/{source}", target)
            else:
                header = bring.copy(f"{tree.root}/{source}", target)
        except UnreadableImage as error:
            skipped[source] = error.reason
            continue
        kept.append(position)
        sizes.append(header[:2])
        if not header.whole:
            truncated.append(source)
        if progress is not None and position % _FILES_A_STEP == 0:
            progress(position, len(made.sources))
    shutil.rmtree(staging / _DOWNLOADED, ignore_errors=True)
    if not kept:
        raise _no_image(tree.root, skipped)
    if progress is not None:
        progress(len(made.sources), len(made.sources))
    return Conversion(_directory(made, staging, kept, sizes), skipped, truncated)


def _directory(made: Plan, root: Path, kept: list[int], sizes: list[tuple[int, int]]) -> ImageDirectory:
    every = ImageDirectory(
        root, made.targets, np.array(made.labels, dtype=np.int64), made.categories,
        list(range(len(made.sources))) if made.ids is None else made.ids, None, made.columns,
    )  # fmt: skip
    found = every if len(kept) == len(every) else every.select(kept)
    ids = found.ids if made.ids is not None else list(range(len(kept)))
    return replace(found, ids=ids, sizes=np.array(sizes, dtype=np.int32))


class _Bringer:
    """Brings one image after the other below a folder, and looks at each. All raise UnreadableImage."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)
        self._folders: set[str] = set()
        self._brought: dict[str, Header] = {}  # a list may name a file twice

    def content(self, content: bytes, target: str) -> Header:
        """Write an image."""
        if target in self._brought:
            return self._brought[target]
        header = read_header(target, content)
        file = os.open(self._place(target), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            while content:
                content = content[os.write(file, content) :]
        finally:
            os.close(file)
        self._brought[target] = header
        return header

    def own(self, path: str, target: str) -> Header:
        """Move an image, of the same file system."""
        if target in self._brought:
            return self._brought[target]
        header = self._brought[target] = read_header(path)
        os.rename(path, self._place(target))
        return header

    def copy(self, path: str, target: str) -> Header:
        """Copy an image."""
        try:
            file = os.open(path, os.O_RDONLY)
            try:
                content = os.read(file, _AT_ONCE)
            finally:
                os.close(file)
        except OSError as error:
            raise UnreadableImage(path, error.strerror or str(error)) from error
        if len(content) < _AT_ONCE:
            return self.content(content, target)
        header = self._brought[target] = read_header(path)
        shutil.copyfile(path, self._place(target))
        return header

    def _place(self, target: str) -> str:
        folder = target.rpartition("/")[0]
        if folder not in self._folders:
            os.makedirs(f"{self._root}/{folder}", exist_ok=True)
            self._folders.add(folder)
        return f"{self._root}/{target}"


def _no_image(where: Path, skipped: dict[str, str]) -> InvalidDatasetError:
    reason = f"there is no valid image in {where.name}"
    if skipped:
        reason += f"; {len(skipped)} files were skipped: {_listed(skipped)}"
    suffixes = ", ".join(sorted(IMAGE_SUFFIXES))
    return InvalidDatasetError(DATASET, reason, f"Images have one of the suffixes {suffixes}. {_LAYOUT}")


def _listed(skipped: dict[str, str]) -> str:
    named = "; ".join(f"{name} ({reason})" for name, reason in list(skipped.items())[:_NAMED])
    return named + (f" and {len(skipped) - _NAMED} more" if len(skipped) > _NAMED else "")
