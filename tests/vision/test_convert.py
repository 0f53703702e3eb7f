"""Folders and archives of images become ImageDirectories."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from tests.conftest import needs
from tests.rig import cifar_folders, fashion_mnist, pictures
from toolkit.inscript.errors import UserErrorException
from toolkit.vision.data import coco
from toolkit.vision.data.convert import convert_to_image_directory
from toolkit.vision.data.image_directory import ImageDirectory
from toolkit.vision.data.images import read_image
from toolkit.vision.errors import InvalidDatasetError


def packed(folder: Path, name: str = "a.zip", inside: str = "") -> Path:
    """The folder's content as an archive beside it."""
    archive = folder.parent / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(archive, "w") as file:
            for path in sorted(folder.rglob("*")):
                file.write(path, os.path.join(inside, path.relative_to(folder)))
    else:
        subprocess.run(["tar", "-acf", archive, "-C", folder.parent, folder.name], check=True)
    return archive


def listed(directory: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (directory / "images.lst").read_text().splitlines()]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"dog": 2, "cat": 3})
    result = convert_to_image_directory(source, tmp_path / "out")

    names = ["0_0", "0_1", "0_2", "1_0", "1_1"]
    expected = [
        {
            "image_info": {"file_name": f"image/{name}.png", "width": 8, "height": 8},
            "category": "cat" if name[0] == "0" else "dog", "id": number,
        }
        for number, name in enumerate(names)
    ]  # fmt: skip
    assert listed(tmp_path / "out") == expected
    assert (result.lines, result.skipped, result.truncated) == (["5 images, 2 classes"], {}, [])
    for name in names:
        folder, number = ("cat", "dog")[int(name[0])], int(name[2])
        assert (tmp_path / "out" / "image" / f"{name}.png").read_bytes() == (
            source / folder / f"{number:03}.png"
        ).read_bytes()
    meta = yaml.safe_load((tmp_path / "out" / "_meta.yaml").read_text())
    assert meta["type"] == "ImageDirectory" and meta["image_list"] == "images.lst"
    loaded = ImageDirectory.load(tmp_path / "out", "set")
    assert loaded.files == result.directory.files and result.directory.root == tmp_path / "out"
    assert loaded.class_names == ["cat", "dog"] and loaded.labels.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.tgz", "a.tar.bz2", "a.tar.xz"])
def test_an_archive_gives_what_its_folder_gives(tmp_path: Path, name: str) -> None:
    source = pictures.classes(tmp_path / "raw", {"dog": 2, "cat": 3, "eel": 1})
    (source / "dog" / "bad.png").write_bytes(b"")
    folder = convert_to_image_directory(source, tmp_path / "folder")
    archive = convert_to_image_directory(packed(source, name), tmp_path / "archive")
    assert (archive.skipped, folder.skipped) == ({"dog/bad.png": "it is empty"},) * 2
    compared = subprocess.run(["diff", "-r", tmp_path / "folder", tmp_path / "archive"], capture_output=True)
    assert compared.returncode == 0, compared.stdout
    assert sorted(os.listdir(tmp_path / "archive")) == [
        "_meta.yaml",
        "_samples.json",
        "_schema.json",
        "image",
        "images.lst",
    ]


def test_too_much_to_hold_is_moved_into_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = pictures.classes(tmp_path / "raw", {"dog": 2, "cat": 3})
    convert_to_image_directory(source, tmp_path / "folder")
    monkeypatch.setattr("toolkit.vision.data.archives._HELD_IN_ALL", 300)
    convert_to_image_directory(packed(source), tmp_path / "archive")
    assert subprocess.run(["diff", "-r", tmp_path / "folder", tmp_path / "archive"]).returncode == 0


def test_large_images_are_copied_whole(tmp_path: Path) -> None:
    (tmp_path / "raw" / "a").mkdir(parents=True)
    pictures.noise(400, 300).save(tmp_path / "raw" / "a" / "1.bmp")
    for source, output in ((tmp_path / "raw", "1"), (packed(tmp_path / "raw"), "2")):
        result = convert_to_image_directory(source, tmp_path / output)
        assert result.directory.sizes is not None and result.directory.sizes.tolist() == [[400, 300]]
        made = (tmp_path / output / "image" / "0_0.bmp").read_bytes()
        assert made == (tmp_path / "raw" / "a" / "1.bmp").read_bytes()


def test_an_archive_is_descended_into(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"dog": 1, "cat": 1})
    archive = packed(source, inside="some/folders")
    with zipfile.ZipFile(archive, "a") as file:
        file.writestr("__MACOSX/some/._x.png", b"1")
        file.writestr(".DS_Store", b"1")
    assert convert_to_image_directory(archive, tmp_path / "out").directory.class_names == ["cat", "dog"]


def test_images_of_one_folder_in_an_archive_are_one_class(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"cat": 2})
    for inside in ("", "deep/er"):
        result = convert_to_image_directory(packed(source, inside=inside), tmp_path / "out")
        assert (result.directory.class_names, len(result.directory)) == (["cat"], 2)
    flat = convert_to_image_directory(packed(source / "cat", inside=""), tmp_path / "flat").directory
    assert (flat.categories, flat.files) == ({}, ["image/000.png", "image/001.png"])


def test_a_folder_is_not_descended_into(tmp_path: Path) -> None:
    pictures.classes(tmp_path / "raw" / "inner", {"dog": 1, "cat": 1})
    result = convert_to_image_directory(tmp_path / "raw", tmp_path / "out")
    assert result.directory.categories == {}
    assert result.directory.files == ["image/inner/cat/000.png", "image/inner/dog/000.png"]
    assert "category" not in listed(tmp_path / "out")[0]
    assert "category" not in (tmp_path / "out" / "_schema.json").read_text()


def test_the_archive_in_a_folder_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures.classes(tmp_path / "raw", {"dog": 1, "cat": 1})
    folder = pictures.classes(tmp_path / "folder", {"other": 1})
    shutil.move(packed(tmp_path / "raw", "b.zip"), folder / "b.zip")
    (folder / "c.tar").write_bytes(b"nothing")
    result = convert_to_image_directory(folder, tmp_path / "out")
    assert result.directory.class_names == ["cat", "dog"]
    assert "b.zip is taken, and 2 other entries of its folder are not" in capsys.readouterr().err


def test_odd_images_are_taken_and_damaged_ones_named(tmp_path: Path) -> None:
    odd = pictures.odd(tmp_path / "raw" / "odd")
    pictures.turned(tmp_path / "raw" / "turned")
    cut = pictures.damaged(tmp_path / "raw" / "damaged")
    bad = pictures.unreadable(tmp_path / "raw" / "unreadable")
    (tmp_path / "raw" / "odd" / "notes.txt").write_text("x")
    for source, output in ((tmp_path / "raw", "1"), (packed(tmp_path / "raw", "a.tar"), "2")):
        result = convert_to_image_directory(source, tmp_path / output)
        directory = result.directory
        assert len(directory) == len(odd) + 8 + len(cut)
        assert set(result.skipped) == {f"unreadable/{name}" for name in bad} | {"odd/notes.txt"}
        assert result.skipped["odd/notes.txt"] == ".txt is not the suffix of an image"
        assert sorted(result.truncated) == ["damaged/cut off.jpg", "damaged/cut off.png"]
        assert directory.sizes is not None
        for position, size in enumerate(directory.sizes.tolist()):
            assert list(read_image(directory.path(position)).size) == size, directory.files[position]
        assert directory.class_names[:2] == ["damaged", "odd"]
        assert any("files skipped: " in line for line in result.lines) and len(result.lines) == 3


def test_an_image_directory_is_taken_as_it_is(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"dog": 2, "cat": 2})
    first = convert_to_image_directory(source, tmp_path / "first").directory
    part = first.select([1, 3])
    (tmp_path / "part" / "image").mkdir(parents=True)
    for name in part.files:
        shutil.copy(tmp_path / "first" / name, tmp_path / "part" / name)
    part.save(tmp_path / "part")
    for given, output in ((tmp_path / "part", "a"), (packed(tmp_path / "part", inside="x"), "b")):
        made = convert_to_image_directory(given, tmp_path / output).directory
        assert (made.files, made.ids, made.categories) == (["image/0_1.png", "image/1_1.png"], [1, 3], first.categories)
        assert listed(tmp_path / output) == listed(tmp_path / "part")


def test_folders_that_are_no_classes(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"dog": 1, "cat": 1, ".hidden": 1, "cat/inner": 1})
    (source / "empty").mkdir()
    pictures.noise().save(source / "loose.png")
    result = convert_to_image_directory(source, tmp_path / "out")
    assert result.directory.class_names == ["cat", "dog"]
    assert result.skipped == {
        "cat/inner/": "a folder in the folder of a class", "empty/": "an empty folder: it is no class",
        "loose.png": "in no folder of a class",
    }  # fmt: skip


def test_one_class_and_one_image_will_do(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"cat": 1})
    result = convert_to_image_directory(source, tmp_path / "out")
    assert result.lines == ["1 images, 1 class"] and result.directory.class_names == ["cat"]


def test_links_in_a_folder_are_followed_once(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw" / "deep", {"cat": 1})
    (source / "cat" / "round").symlink_to(tmp_path / "raw")
    (source / "cat" / "again.png").symlink_to("000.png")
    result = convert_to_image_directory(tmp_path / "raw", tmp_path / "out")
    assert result.directory.files == ["image/deep/cat/000.png", "image/deep/cat/again.png"]
    assert not (tmp_path / "out" / "image" / "deep" / "cat" / "again.png").is_symlink()


def test_a_pipe_is_never_opened(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"cat": 1})
    os.mkfifo(source / "cat" / "pipe.png")
    assert len(convert_to_image_directory(source, tmp_path / "out").directory) == 1


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist. Check the path, or retry: it may be transient"),
        (lambda path: path.write_text("x"), r"neither a folder nor an archive. Allowed are .zip, .tar, .gz"),
        (lambda path: path.mkdir(), "there is no valid image in raw. Images have one of the suffixes .bmp, .jpeg"),
        (
            lambda path: pictures.unreadable(path / "a"),
            r"no valid image in .*; 4 files were skipped: .*a/text.png \(not an image of a known format",
        ),
        (
            lambda path: tar_in(path / "inner"),
            r"inner/nested.zip \(an archive inside: it is not unpacked\)",
        ),
    ],
)
def test_inputs_without_images(tmp_path: Path, make: Any, reason: str) -> None:
    make(tmp_path / "raw")
    with pytest.raises(InvalidDatasetError, match=reason) as caught:
        convert_to_image_directory(tmp_path / "raw", tmp_path / "out")
    assert caught.value.code == 18 and str(caught.value).startswith("InvalidDatasetError: Input dataset is not valid")
    assert not (tmp_path / "out").exists()


def tar_in(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "nested.zip").write_bytes(b"PK")


def test_nothing_stays_of_an_archive_without_images(tmp_path: Path) -> None:
    (tmp_path / "raw" / "inner").mkdir(parents=True)
    (tmp_path / "raw" / "inner" / "nested.tar.gz").write_bytes(b"x")
    (tmp_path / "raw" / "other.txt").write_text("x")
    archive = packed(tmp_path / "raw")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InvalidDatasetError, match=r"no valid image in a.zip; .*nested.tar.gz \(an archive inside"):
        convert_to_image_directory(archive, tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_inside_of_the_input_is_refused(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"cat": 1})
    for output in (source, source / "out", tmp_path):
        with pytest.raises(UserErrorException, match="are in each other"):
            convert_to_image_directory(source, output)


def test_progress_reaches_the_end(tmp_path: Path) -> None:
    reports: list[tuple[float, float]] = []
    source = pictures.classes(tmp_path / "raw", {"cat": 3})
    convert_to_image_directory(source, tmp_path / "out", progress=lambda done, total: reports.append((done, total)))
    assert reports[-1] == (3, 3)


# -- COCO ------------------------------------------------------------------------------------------------------------


def coco_folder(folder: Path, annotations: list[dict[str, Any]], **more: Any) -> Path:
    """Three images, listed with the ids 7, 8 and x9."""
    (folder / "images").mkdir(parents=True)
    images = []
    for number, name in ((7, "a.png"), (8, "b.JPG"), ("x9", "c.png")):
        pictures.noise(12, 10).save(folder / "images" / name)
        images.append({"id": number, "file_name": name, "width": 12, "height": 10})
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": annotations, **more}))
    return folder


@pytest.mark.parametrize(
    ("annotation", "column"),
    [
        ({"caption": "a cat"}, "image_captioning_annotation"),
        ({"keypoints": [1, 2, 2], "bbox": [0, 0, 1, 1]}, "keypoint_detection_annotation"),
        ({"file_name": "mask.png", "segments_info": []}, "semantic_segmentation_annotation"),
        ({"bbox": [0, 0, 5, 5], "category_id": 1}, "object_detection_annotation"),
    ],
)
def test_a_coco_file_lists_the_images(tmp_path: Path, annotation: dict[str, Any], column: str) -> None:
    annotations = [{"image_id": 7, **annotation}, {"image_id": "x9", **annotation}, {"image_id": 7, **annotation}]
    source = coco_folder(tmp_path / "raw", annotations, categories=[{"id": 1, "name": "cat"}])
    for given, output in ((source, "a"), (packed(source, inside="set"), "b")):
        convert_to_image_directory(given, tmp_path / output)
        made = ImageDirectory.load(tmp_path / output, "set")
        assert made.files == ["image/7.png", "image/8.jpg", "image/x9.png"]
        named = {**annotation, "category_name": "cat"} if "category_id" in annotation else annotation
        assert made.columns == {column: [[named, named], None, [named]]}
        assert made.categories == {} and made.sizes is not None and made.sizes.tolist() == [[12, 10]] * 3
        assert f"COCO_{column.removesuffix('_annotation')}" in (tmp_path / output / "_schema.json").read_text()


def test_json_that_is_not_coco_changes_nothing(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "raw", {"cat": 1, "dog": 1})
    (source / "a.json").write_text('{"images": 3}')
    (source / "cat" / "b.json").write_text("{broken")
    assert convert_to_image_directory(source, tmp_path / "out").directory.class_names == ["cat", "dog"]


@pytest.mark.parametrize(
    ("images", "reason"),
    [
        ([{"id": 1, "file_name": "../../etc/x.png"}], "outside of the folder"),
        ([{"id": 1, "file_name": "/etc/x.png"}], "outside of the folder"),
        ([{"id": "../x", "file_name": "a.png"}], "it is no id"),
        ([{"id": 1, "file_name": "a.png"}, {"id": "1", "file_name": "b.png"}], "two images of id '1'"),
        ([{"file_name": "a.png"}], "not as COCO has it: KeyError"),
        (
            [{"id": 1, "file_name": "no.png"}],
            r"no valid image in raw; 1 files were skipped: no.png \(instances.json names",
        ),
        ([{"id": 1, "file_name": "no.png", "coco_url": "file:///etc/x.png"}], "neither http nor https"),
    ],
)
def test_coco_files_that_cannot_be_used(tmp_path: Path, images: list[dict[str, Any]], reason: str) -> None:
    source = coco_folder(tmp_path / "raw", [])
    (source / "instances.json").write_text(json.dumps({"images": images, "annotations": []}))
    with pytest.raises(InvalidDatasetError, match=reason):
        convert_to_image_directory(source, tmp_path / "out")


class Server(http.server.ThreadingHTTPServer):
    """Serves a folder. `asked` are the paths that were asked for; `codes` are what a path answers with at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked: list[str] = []
        self.codes: dict[str, list[int]] = {}
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(http.server.SimpleHTTPRequestHandler):
    server: Server

    def __init__(self, request: Any, address: Any, server: Server) -> None:
        super().__init__(request, address, server, directory=str(server.folder))

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        codes = self.server.codes.get(self.path, [])
        if not codes:
            super().do_GET()
            return
        self.send_response(codes.pop(0))
        self.send_header("Location", "ftp://localhost/x.png")
        self.send_header("Content-Length", "5")  # which do not come
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    for number, name in enumerate(("1.png", "2.png", "3.jpg")):
        pictures.noise(20, 10, number).save(tmp_path / "served" / name)
    served = Server(tmp_path / "served")
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    thread.join()
    served.server_close()


def test_images_that_are_elsewhere_are_fetched(tmp_path: Path, server: Server) -> None:
    (tmp_path / "raw").mkdir()
    pictures.noise(20, 10, 9).save(tmp_path / "raw" / "here.png")
    names = ["here.png", "1.png", "2.png", "3.jpg"]
    images = [{"id": 5 + n, "file_name": name, "coco_url": f"{server.url}/{name}"} for n, name in enumerate(names)]
    (tmp_path / "raw" / "set.json").write_text(json.dumps({"images": images, "annotations": []}))
    made = convert_to_image_directory(tmp_path / "raw", tmp_path / "out").directory

    assert made.files == ["image/5.png", "image/6.png", "image/7.png", "image/8.jpg"]
    assert sorted(server.asked) == ["/1.png", "/2.png", "/3.jpg"]
    for position, name in enumerate(names[1:], start=1):
        assert Path(made.path(position)).read_bytes() == (tmp_path / "served" / name).read_bytes()
    assert listed(tmp_path / "out")[1]["coco_url"] == f"{server.url}/1.png"
    assert sorted(os.listdir(tmp_path / "out")) == [
        "_meta.yaml",
        "_samples.json",
        "_schema.json",
        "image",
        "images.lst",
    ]


def test_a_download_is_tried_six_times(tmp_path: Path, server: Server) -> None:
    server.codes = {"/1.png": [503, 200, 429, 500, 502], "/2.png": [503] * 9}
    paths = coco.download({3: f"{server.url}/1.png"}, tmp_path / "got", first_pause=0.001)
    assert Path(paths[3]).read_bytes() == (tmp_path / "served" / "1.png").read_bytes()
    assert server.asked == ["/1.png"] * 6  # the 200 was cut off
    with pytest.raises(InvalidDatasetError, match=r"URL download failed: http://.*/2.png \(HTTP Error 503"):
        coco.download({3: f"{server.url}/2.png"}, tmp_path / "got", first_pause=0.001)
    assert server.asked.count("/2.png") == 6


def test_what_is_not_there_is_not_asked_for_twice(tmp_path: Path, server: Server) -> None:
    with pytest.raises(InvalidDatasetError, match=r"URL download failed: .*/no.png .*404"):
        coco.download({0: f"{server.url}/no.png"}, tmp_path / "got")
    assert server.asked == ["/no.png"]


def test_a_download_has_a_largest_size_and_stays_on_http(tmp_path: Path, server: Server) -> None:
    with pytest.raises(InvalidDatasetError, match=r"more than 0.0001 MB"):
        coco.download({0: f"{server.url}/1.png"}, tmp_path / "got", largest=100)
    server.codes = {"/2.png": [302]}
    with pytest.raises(InvalidDatasetError, match="neither http nor https: ftp://localhost"):
        coco.download({0: f"{server.url}/2.png"}, tmp_path / "got")


# -- real images -----------------------------------------------------------------------------------------------------


def test_cifar_10_as_folders(data: Path, tmp_path: Path) -> None:
    source = cifar_folders.write(data, tmp_path / "raw", 20)
    made = convert_to_image_directory(packed(source, "cifar.tar.gz"), tmp_path / "out").directory
    assert made.class_names[:3] == ["airplane", "automobile", "bird"] and len(made) == 200
    assert np.bincount(made.labels).tolist() == [20] * 10
    assert made.sizes is not None and (made.sizes == 32).all()


def test_fashion_mnist_of_debian(tmp_path: Path) -> None:
    needs(not fashion_mnist.why_not(), fashion_mnist.why_not())
    source = fashion_mnist.write(tmp_path / "raw", 5, train=False)
    made = convert_to_image_directory(source, tmp_path / "out").directory
    assert made.class_names == sorted(fashion_mnist.CLASSES) and len(made) == 50
    assert made.sizes is not None and (made.sizes == 28).all()
    assert all(read_image(made.path(position)).mode == "RGB" for position in range(50))
