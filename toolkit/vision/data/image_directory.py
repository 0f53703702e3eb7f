"""ImageDirectory: images in a folder, and lists that say their labels.

    _meta.yaml       type: ImageDirectory, and the names of the files that follow
    images.lst       a line of JSON an image: {"image_info": {"file_name": "image/0_0.png"}, "category": "cat", "id": 0}
    _schema.json     the columns; of `category` the names and ids of all classes, which `category` in the list refers to
    _samples.json    the first three rows
    image/           the images

`image_info` also has `width` and `height` where the toolkit wrote the list: with them, images of different sizes are
found before any of them is opened. A million rows are read in seconds: columns are kept, not rows.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.vision.directory import IMAGES, META, describe, read_meta, write_meta
from toolkit.vision.errors import InvalidDatasetError, NotLabeledDatasetError

UNLABELED = -1
OTHERS = "Others"  # the class of an id that the schema has no name for
_MOST_CLASSES = 1_000_000
_ROWS_AT_A_TIME = 20_000
_LIST, _SCHEMA, _SAMPLES = "images.lst", "_schema.json", "_samples.json"
_PREPARE = "Make one with Convert to Image Directory (`toolkit vision convert-to-image-directory`)."
_CLASSIFICATION = "COCO_classification"


@dataclass(frozen=True)
class ImageDirectory:
    """N images and what is known of them, in the order of the list.

    Attributes:
        root: the folder.
        files: N paths relative to `root`, with "/".
        labels: N class ids, int64; UNLABELED where an image has none.
        categories: the names of all classes by id, in the order of ids; empty where nothing is labelled.
        ids: N ids of rows.
        sizes: Nx2 widths and heights in pixels, int32, as they are seen (EXIF orientation applied); None: not known.
        columns: further columns of the list by name, N values each (None where a row has none).
    """

    root: Path
    files: list[str]
    labels: NDArray[np.int64]
    categories: dict[int, str]
    ids: list[Any]
    sizes: NDArray[np.int32] | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def labeled(self) -> NDArray[np.int64]:
        """The positions of the images that have a label."""
        return np.flatnonzero(self.labels != UNLABELED)

    @property
    def class_names(self) -> list[str]:
        """A name for each class index from 0 to the highest id; `Others` where the schema has none."""
        return [self.categories.get(index, OTHERS) for index in range(max(self.categories, default=-1) + 1)]

    def select(self, positions: NDArray[np.int64] | list[int]) -> ImageDirectory:
        """The images at these positions, in their order; ids and classes stay."""
        chosen = np.asarray(positions, dtype=np.int64)
        order = chosen.tolist()
        return replace(
            self,
            files=[self.files[position] for position in order],
            labels=self.labels[chosen],
            ids=[self.ids[position] for position in order],
            sizes=None if self.sizes is None else self.sizes[chosen],
            columns={name: [values[position] for position in order] for name, values in self.columns.items()},
        )

    def path(self, position: int) -> str:
        """The path of an image."""
        return os.path.join(self.root, self.files[position])

    def require_labels(self, dataset: str) -> None:
        """Refuse a set in which no image has a label.

        Raises:
            NotLabeledDatasetError: there is no label column, or no label in it.
        """
        if not self.categories or not len(self.labeled):
            raise NotLabeledDatasetError(
                dataset, "Put the images into a folder for each class and convert that folder: see docs/vision.md."
            )

    def require_one_size(self, dataset: str) -> None:
        """Refuse images of different sizes, where sizes are known.

        Raises:
            InvalidDatasetError: naming the sizes, and an image of each.
        """
        if self.sizes is None or len(self) == 0:
            return
        found, first, counts = np.unique(self.sizes, axis=0, return_index=True, return_counts=True)
        if len(found) > 1:
            order = np.argsort(-counts)[:3]
            sizes = ", ".join(f"{found[i][0]}x{found[i][1]} ({counts[i]}, as {self.files[first[i]]})" for i in order)
            raise different_sizes(dataset, f"{len(found)} sizes, most often {sizes}")

    def save(self, root: Path) -> ImageDirectory:
        """Write the lists into `root`, where the images are already (or will be); the directory as it is there.

        Raises:
            InvalidDatasetError: no image in it.
        """
        if not self.files:
            raise InvalidDatasetError(str(root), "it would have no image")
        encode = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps makes an encoder for each row
        with open(root / _LIST, "w", encoding="utf-8") as file:
            for rows in self._rows():
                file.write("".join(encode(row) + "\n" for row in rows))
        samples = next(self.select(list(range(min(3, len(self)))))._rows())
        for name, content in ((_SCHEMA, self._schema()), (_SAMPLES, samples)):
            (root / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        write_meta(root, IMAGES, image_list=_LIST, schema=_SCHEMA, samples=_SAMPLES)
        return replace(self, root=root)

    def _rows(self) -> Iterator[list[dict[str, Any]]]:
        """The lines of the list, some thousands at a time."""
        for start in range(0, len(self), _ROWS_AT_A_TIME):
            part = slice(start, start + _ROWS_AT_A_TIME)
            rows: list[dict[str, Any]] = [{"image_info": {"file_name": name}} for name in self.files[part]]
            if self.sizes is not None:
                for row, (width, height) in zip(rows, self.sizes[part].tolist()):
                    row["image_info"].update(width=width, height=height)
            for row, label, number in zip(rows, self.labels[part].tolist(), self.ids[part]):
                if label != UNLABELED:
                    row["category"] = self.categories.get(label, OTHERS)
                row["id"] = number
            for name, values in self.columns.items():
                for row, value in zip(rows, values[part]):
                    if value is not None:
                        row[name] = value
            yield rows

    def _schema(self) -> dict[str, Any]:
        columns: list[dict[str, Any]] = [
            {
                "name": "image", "type": "Bytes", "isFeature": True,
                "properties": {"mime_type": "image/png", "image_ref": "image_info"},
            },
            {"name": "id", "type": "Numeric", "isFeature": False, "properties": {"data_type": "int64"}},
        ]  # fmt: skip
        if self.categories:
            known = [{"id": number, "name": name} for number, name in self.categories.items()]
            properties = {"annotation_type": _CLASSIFICATION, "categories": known}
            columns.append({"name": "category", "type": "String", "isFeature": False, "properties": properties})
        for name in self.columns:
            properties = {"annotation_type": f"COCO_{name.removesuffix('_annotation')}"}
            columns.append({"name": name, "type": "String", "isFeature": False, "properties": properties})
        return {"columnAttributes": columns}

    @classmethod
    def load(cls, path: str | os.PathLike[str], dataset: str) -> ImageDirectory:
        """Read the lists of a directory; no image is opened.

        Args:
            dataset: what the set is called in messages, as in "Training dataset".

        Raises:
            InvalidDatasetError: no ImageDirectory is there, or its lists are broken; the line is named.
        """
        root = Path(os.path.abspath(path))
        meta = read_meta(root)
        if meta.get("type") != IMAGES:
            raise InvalidDatasetError(dataset, f"{describe(root)}, and it must be an {IMAGES}", _PREPARE)
        try:
            schema = json.loads((root / str(meta.get("schema", _SCHEMA))).read_text(encoding="utf-8"))
            categories = _categories(schema)
            columns = _read_list(root / str(meta.get("image_list", _LIST)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidDatasetError(dataset, f"the lists of {root} cannot be read ({error})", _PREPARE) from error
        if not columns.files:
            raise InvalidDatasetError(dataset, f"{root} has no image", _PREPARE)
        numbers = {name: number for number, name in categories.items()}
        unknown = sorted({name for name in columns.names if name is not None and name not in numbers})
        if unknown and categories:
            raise InvalidDatasetError(
                dataset, f"images of {root} have classes that its {_SCHEMA} does not: {_listed(unknown)}", _PREPARE
            )
        labels = np.fromiter(
            (numbers.get(name, UNLABELED) if name is not None else UNLABELED for name in columns.names),
            dtype=np.int64,
            count=len(columns.names),
        )
        sizes = None if None in columns.sizes else np.array(columns.sizes, dtype=np.int32).reshape(-1, 2)
        return cls(root, columns.files, labels, categories, columns.ids, sizes, columns.rest)


def is_image_directory(root: Path) -> bool:
    """Whether a folder says that it is an ImageDirectory."""
    return (root / META).is_file() and read_meta(root).get("type") == IMAGES


def different_sizes(dataset: str, reason: str) -> InvalidDatasetError:
    """The error for images that cannot be put into one batch."""
    return InvalidDatasetError(
        dataset,
        f"its images differ in size: {reason}",
        "Make them one size with Init Image Transformation and Apply Image Transformation, or give Train PyTorch "
        "Model the transformation: a resize alone keeps the aspect, so a crop must follow it.",
    )


@dataclass
class _Columns:
    """The list as it is being read."""

    files: list[str] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    ids: list[Any] = field(default_factory=list)
    sizes: list[tuple[int, int] | None] = field(default_factory=list)
    rest: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, row: dict[str, Any]) -> None:
        info = row.pop("image_info")
        name, label = info["file_name"], row.pop("category", None)
        if not isinstance(name, str) or name.startswith("/") or "\0" in name or ".." in name.split("/"):
            raise ValueError(f"{name!r} is not the name of a file inside the directory")
        if label is not None and not isinstance(label, str):
            raise ValueError(f"the category {label!r} is no text")
        self.names.append(label or None)
        self.ids.append(row.pop("id", len(self.files)))
        self.sizes.append(_size(info["width"], info["height"]) if "width" in info and "height" in info else None)
        for key, value in row.items():
            self.rest.setdefault(key, [None] * len(self.files)).append(value)
        self.files.append(name)
        for values in self.rest.values():
            if len(values) < len(self.files):
                values.append(None)


def _size(width: Any, height: Any) -> tuple[int, int]:
    if not (isinstance(width, int) and isinstance(height, int) and 0 < width < 2**31 and 0 < height < 2**31):
        raise ValueError(f"{width!r} x {height!r} is no size of an image")
    return width, height


def _read_list(path: Path) -> _Columns:
    """The rows of `images.lst`. ValueError naming the line that is not one."""
    columns = _Columns()
    with open(path, encoding="utf-8-sig") as file:
        number = 0
        while lines := file.readlines(_ROWS_AT_A_TIME * 100):
            for row in _parse(lines, number):
                number += 1
                try:
                    columns.add(row)
                except (KeyError, TypeError, AttributeError, ValueError) as error:
                    raise ValueError(f"{path.name}, image {number}: {error!r}") from error
    return columns


def _parse(lines: list[str], before: int) -> list[Any]:
    """Lines of JSON as objects; empty ones are left out. All at once is five times quicker than one by one."""
    kept = [line for line in lines if not line.isspace()]
    try:
        rows: list[Any] = json.loads(f"[{','.join(kept)}]")
        return rows
    except ValueError:
        for number, line in enumerate(kept, start=before + 1):
            try:
                json.loads(line)
            except ValueError as error:
                raise ValueError(f"{_LIST}, image {number}: {error}") from None
        raise


def _categories(schema: dict[str, Any]) -> dict[int, str]:
    """The classes by id, in the order of ids. {} where there is no column of labels."""
    for column in schema["columnAttributes"]:
        if column["name"] == "category":
            found = {int(one["id"]): str(one["name"]) for one in column["properties"].get("categories", [])}
            if any(not 0 <= number < _MOST_CLASSES for number in found) or len(set(found.values())) < len(found):
                raise ValueError(
                    f"{_SCHEMA} has class ids below 0 or from {_MOST_CLASSES:,}, or two classes of one name"
                )
            return dict(sorted(found.items()))
    return {}


def _listed(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
