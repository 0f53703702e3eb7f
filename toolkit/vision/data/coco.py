"""Images that a COCO file lists (https://cocodataset.org/#format-data), and the fetching of those that are elsewhere.

    {"images": [{"id": 7, "file_name": "a.jpg", "coco_url": "http://…"}, …], "annotations": [{"image_id": 7, …}, …]}

An image becomes `image/<its id><suffix>`; its annotations a list in the column `<type>_annotation`.
"""

from __future__ import annotations

import http.client
import json
import os
import posixpath
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from toolkit.vision.data.image_directory import UNLABELED
from toolkit.vision.data.image_sources import DATASET, IMAGES, Plan, Tree
from toolkit.vision.data.images import is_image_name
from toolkit.vision.errors import InvalidDatasetError

# What an annotation is, by what the first one has.
_TYPES = {
    "caption": "image_captioning", "keypoints": "keypoint_detection", "file_name": "semantic_segmentation",
    "segmentation": "object_detection", "bbox": "object_detection",
}  # fmt: skip
_SCHEMES = ("http", "https")
_TRIES = 6
_MOST_THREADS = 64
_TIMEOUT = 60  # seconds without a byte
_LARGEST = 256 << 20  # bytes of one image
_PIECE = 1 << 18
_WORTH_A_RETRY = (408, 425, 429)  # and all from 500


def of_coco(tree: Tree) -> Plan | None:
    """The plan of a folder with a COCO file in it, or one level below; None where there is none.

    Raises:
        InvalidDatasetError: it names files outside of the folder, or images without (or with the same) id.
    """
    for path in _candidates(tree):
        try:
            content = json.loads((tree.root / path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations")):
            try:
                return _plan(tree, path, content)
            except (KeyError, TypeError, AttributeError) as error:
                raise InvalidDatasetError(DATASET, f"{path} is not as COCO has it: {error!r}") from error
    return None


def _candidates(tree: Tree) -> Iterator[str]:
    folders, files = tree.entries()
    yield from (name for name in files if name.endswith(".json"))
    for folder in folders:
        inside = (name for name in tree.entries(folder)[1] if name.endswith(".json"))
        first = next(inside, None)
        if first is not None:
            yield f"{folder}/{first}"


def _plan(tree: Tree, path: str, content: dict[str, Any]) -> Plan:
    kind, annotations = _annotations(content)
    find = _Finder(tree, posixpath.dirname(path))
    sources: list[str] = []
    targets: list[str] = []
    urls: dict[int, str] = {}
    skipped: dict[str, str] = {}
    rows: list[tuple[Any, Any]] = []
    seen: set[str] = set()
    for image in content["images"]:
        number, name, url = str(image["id"]), str(image["file_name"]), image.get("coco_url")
        if number in seen or "/" in number or number in ("", ".", ".."):
            raise InvalidDatasetError(DATASET, f"{path} has two images of id {number!r}, or it is no id")
        seen.add(number)
        if not is_image_name(name):
            skipped[name] = "not the suffix of an image"
            continue
        found = find(name)
        if found is None and not url:
            skipped[name] = f"{path} names it, and it is not there"
            continue
        if found is None:
            urls[len(sources)] = _checked(str(url), path)
        sources.append(found or name)
        targets.append(f"{IMAGES}/{number}{os.path.splitext(name)[1].lower()}")
        rows.append((url, annotations.get(number)))
    columns = {"coco_url": [url for url, _ in rows], f"{kind}_annotation": [found for _, found in rows]}
    columns = {name: values for name, values in columns.items() if any(value is not None for value in values)}
    return Plan(sources, targets, [UNLABELED] * len(sources), {}, None, columns, urls, skipped)


def _annotations(content: dict[str, Any]) -> tuple[str, dict[str, list[Any]]]:
    """The type of the annotations, and those of each image by its id."""
    names = {one["id"]: one.get("name") for one in content.get("categories", [])}
    first = content["annotations"][0] if content["annotations"] else {}
    kind = next((kind for key, kind in _TYPES.items() if key in first), "other")
    found: dict[str, list[Any]] = {}
    for annotation in content["annotations"]:
        row = {key: value for key, value in annotation.items() if key != "image_id"}
        if names.get(row.get("category_id")) is not None:
            row["category_name"] = names[row["category_id"]]  # the list of names itself is not kept
        found.setdefault(str(annotation["image_id"]), []).append(row)
    return kind, found


class _Finder:
    """Finds the file of an image: beside the list, in the folder, in its `images`, else wherever its name is."""

    def __init__(self, tree: Tree, beside: str) -> None:
        self._tree = tree
        self._places = list(dict.fromkeys((beside, "", "images")))
        self._by_name: dict[str, str] | None = None

    def __call__(self, name: str) -> str | None:
        inside = posixpath.normpath(name)
        if inside.startswith(("/", "../")) or inside == "..":
            raise InvalidDatasetError(DATASET, f"the COCO file names {name!r}, which is outside of the folder")
        for place in self._places:
            path = posixpath.join(place, inside)
            if self._tree.has_file(path):
                return path
        if self._by_name is None:
            self._by_name = {posixpath.basename(path): path for path in reversed(self._tree.walk())}
        return self._by_name.get(posixpath.basename(inside))


def download(
    urls: dict[int, str],
    folder: Path,
    *,
    first_pause: float = 1,
    largest: int = _LARGEST,
    progress: Callable[[float, float], None] | None = None,
) -> dict[int, str]:
    """Fetch files over http or https into `folder`; the paths of them by the keys of `urls`.

    Args:
        first_pause: seconds before the second of six tries; twice as long before each further one.
        largest: bytes that a file may have.

    Raises:
        InvalidDatasetError: one cannot be fetched; the others are given up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = {key: str(folder / str(key)) for key in urls}
    with ThreadPoolExecutor(max(1, min(_MOST_THREADS, len(urls)))) as pool:
        work = [pool.submit(_fetch, url, paths[key], first_pause, largest) for key, url in urls.items()]
        try:
            for number, one in enumerate(work, start=1):
                one.result()
                if progress is not None:
                    progress(number, len(work))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return paths


def _fetch(url: str, path: str, first_pause: float, largest: int) -> None:
    for attempt in range(_TRIES):
        try:
            with _OPENER.open(url, timeout=_TIMEOUT) as response, open(path, "wb") as file:
                _receive(response, file, url, largest)
            return
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            last: Exception = error
            if error.code < 500 and error.code not in _WORTH_A_RETRY:
                break
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            last = error
        if attempt < _TRIES - 1:
            time.sleep(first_pause * 2**attempt)
    raise InvalidDatasetError(
        DATASET, f"URL download failed: {url} ({last})", "Put the images themselves beside the COCO file, or retry."
    ) from last


def _receive(response: Any, file: IO[bytes], url: str, largest: int) -> None:
    received = 0
    while piece := response.read(_PIECE):
        received += len(piece)
        if received > largest:
            raise InvalidDatasetError(DATASET, f"{url} has more than {largest / 1e6:g} MB: that is no image")
        file.write(piece)
    expected = response.headers.get("Content-Length")
    if expected and expected.isdigit() and received < int(expected):
        raise ConnectionError(f"{received} of {expected} bytes came")


def _checked(url: str, where: str) -> str:
    if urlsplit(url).scheme not in _SCHEMES or not urlsplit(url).netloc:
        raise InvalidDatasetError(DATASET, f"{where} has a coco_url that is neither http nor https: {url}")
    return url


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirection to what is neither http nor https."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        try:
            _checked(newurl, req.full_url)
        except InvalidDatasetError:
            fp.close()
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


_OPENER = urllib.request.build_opener(_Redirects)
