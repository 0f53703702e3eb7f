"""Working copies, on this Python and on 3.6, which training environments still have."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit import snapshots
from toolkit.errors import ToolkitError
from toolkit.inscript import workcopy

INSCRIPT = Path(workcopy.__file__).parent
PYTHON36 = Path.home() / ".pyenv/versions/3.6.15/bin/python"
PYTHONS = [
    pytest.param(sys.executable, id="this Python"),
    pytest.param(
        str(PYTHON36),
        id="3.6",
        marks=pytest.mark.skipif(not PYTHON36.exists(), reason=f"{PYTHON36} is missing"),
    ),
]
CODE = "import sys; from toolkit.inscript import workcopy; getattr(workcopy, sys.argv[1])(*sys.argv[2:])"
Call = Callable[..., None]


@pytest.fixture
def in_a_process(tmp_path: Path) -> Call:
    """Calls a function of `workcopy` as a target does: only the in-script side, and a locale that knows no Unicode."""
    package = tmp_path / "path" / "toolkit"
    shutil.copytree(INSCRIPT, package / "inscript")
    (package / "__init__.py").touch()

    def call(python: str, function: str, *arguments: object) -> None:
        environment = {"PYTHONPATH": str(package.parent), "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [python, "-W", "error", "-c", CODE, function, *map(str, arguments)]
        subprocess.run(command, check=True, env=environment, cwd=package.parent)

    return call


def sources(root: Path) -> Path:
    (root / "pkg/deep").mkdir(parents=True)
    (root / "train.py").write_text("print(1)\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    (root / "empty").touch()
    (root / "pkg/deep/größe 数据.txt").write_text("é")
    (root / "pkg/large").write_bytes(os.urandom(3 << 20))
    (root / "latest").symlink_to("pkg/deep")
    (root / "pkg/up").symlink_to("../train.py")
    (root / "dangling").symlink_to("missing")
    with open(os.fsencode(root) + b"/pkg/\xff\n", "wb") as file:
        file.write(b"odd")
    return root


def listing(root: Path) -> dict[bytes, object]:
    """What lies below a folder: contents, with the executable bit, and link targets."""
    found: dict[bytes, object] = {}
    for folder, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = os.path.join(folder, name)
            mode = os.lstat(path).st_mode
            key = os.path.relpath(path, os.fsencode(root))
            if stat.S_ISLNK(mode):
                found[key] = os.readlink(path)
            elif stat.S_ISREG(mode):
                found[key] = (Path(os.fsdecode(path)).read_bytes(), bool(mode & 0o100))
            else:
                found[key] = None
    return found


@pytest.mark.parametrize("python", PYTHONS)
def test_the_copy_is_the_source(python: str, tmp_path: Path, in_a_process: Call) -> None:
    taken = snapshots.take(sources(tmp_path / "src"), tmp_path / "store", limit_bytes=0)
    in_a_process(python, "materialise", tmp_path / "store", taken.id, tmp_path / "work")
    assert listing(tmp_path / "work") == listing(tmp_path / "src")
    in_a_process(python, "materialise", tmp_path / "store", taken.id, tmp_path / "work")
    assert listing(tmp_path / "work") == listing(tmp_path / "src")
    in_a_process(python, "leave_only_new", tmp_path / "store", taken.id, tmp_path / "work")
    assert listing(tmp_path / "work") == {}


@pytest.mark.parametrize("python", PYTHONS)
def test_what_the_script_made_or_changed_is_left(python: str, tmp_path: Path, in_a_process: Call) -> None:
    store, work = tmp_path / "store", tmp_path / "work"
    taken = snapshots.take(sources(tmp_path / "src"), store, limit_bytes=0)
    snapshots.restore(store, taken.id, work)
    (work / "outputs").mkdir()
    (work / "outputs/model.pt").write_bytes(b"weights")
    (work / "made_empty").mkdir()
    (work / "train.py").write_text("print(2)\n")  # the same size
    (work / "pkg/deep/new").touch()
    (work / "latest").unlink()
    (work / "latest").symlink_to("pkg")
    in_a_process(python, "leave_only_new", store, taken.id, work)
    left = {
        b"outputs",
        b"outputs/model.pt",
        b"made_empty",
        b"train.py",
        b"pkg",
        b"pkg/deep",
        b"pkg/deep/new",
        b"latest",
    }
    assert listing(work).keys() == left
    in_a_process(python, "leave_only_new", store, taken.id, work)
    assert listing(work).keys() == left


def test_writing_in_place_does_not_reach_the_store(tmp_path: Path) -> None:
    taken = snapshots.take(sources(tmp_path / "src"), tmp_path / "store", limit_bytes=0)
    snapshots.restore(tmp_path / "store", taken.id, tmp_path / "one")
    with (tmp_path / "one/train.py").open("r+") as file:
        file.write("XXXXX")
    snapshots.restore(tmp_path / "store", taken.id, tmp_path / "two")
    assert listing(tmp_path / "two") == listing(tmp_path / "src")


def test_contents_of_one_size_have_different_times(tmp_path: Path) -> None:
    """Caches of bytecode go by size and time."""
    times = set()
    for number in range(3):
        source = tmp_path / f"src{number}"
        source.mkdir()
        (source / "a.py").write_text(f"x = {number}")
        taken = snapshots.take(source, tmp_path / "store", limit_bytes=0)
        snapshots.restore(tmp_path / "store", taken.id, tmp_path / "work")
        times.add((tmp_path / "work/a.py").stat().st_mtime)
    assert len(times) == 3


def test_links_in_the_destination_are_not_followed(tmp_path: Path) -> None:
    store, work, outside = tmp_path / "store", tmp_path / "work", tmp_path / "outside"
    taken = snapshots.take(sources(tmp_path / "src"), store, limit_bytes=0)
    outside.mkdir()
    (outside / "train.py").write_text("mine")
    work.mkdir()
    (work / "train.py").symlink_to(outside / "train.py")
    snapshots.restore(store, taken.id, work)
    assert (outside / "train.py").read_text() == "mine"
    assert listing(work) == listing(tmp_path / "src")

    shutil.rmtree(work / "pkg")
    (work / "pkg").symlink_to(outside)
    with pytest.raises(ToolkitError, match="pkg' is in the way"):
        snapshots.restore(store, taken.id, work)
    assert sorted(os.listdir(outside)) == ["train.py"]


def test_leaving_only_new_does_not_follow_links_either(tmp_path: Path) -> None:
    store, work = tmp_path / "store", tmp_path / "work"
    taken = snapshots.take(sources(tmp_path / "src"), store, limit_bytes=0)
    snapshots.restore(store, taken.id, work)
    (work / "pkg").rename(tmp_path / "moved")
    (work / "pkg").symlink_to(tmp_path / "moved")
    before = listing(tmp_path / "moved")
    workcopy.leave_only_new(str(store), taken.id, str(work))
    assert listing(tmp_path / "moved") == before
    assert listing(work).keys() == {b"pkg"}


FILE = {"sha256": hashlib.sha256(b"x").hexdigest(), "size": 1, "mode": "100644"}
UNSAFE = {
    "parent": [{"path": "../a", **FILE}],
    "parent within": [{"path": "d/../../a", **FILE}],
    "absolute": [{"path": "/a", **FILE}],
    "empty": [{"path": "", **FILE}],
    "zero": [{"path": "a\0b", **FILE}],
    "the folder itself": [{"path": ".", **FILE}],
    "through a link": [{"path": "a", "mode": "120000", "target": "b"}, {"path": "a/c", **FILE}],
    "through a file": [{"path": "a/c", **FILE}, {"path": "a", **FILE}],
    "twice": [{"path": "a", **FILE}, {"path": "a", "mode": "120000", "target": "b"}],
    "link out": [{"path": "a", "mode": "120000", "target": "../b"}],
    "link far out": [{"path": "d/a", "mode": "120000", "target": "../../b"}],
    "absolute link": [{"path": "a", "mode": "120000", "target": "/etc"}],
    "device": [{"path": "a", **FILE, "mode": "060000"}],
    "sha256 as a path": [{"path": "a", **FILE, "sha256": "../../../../etc/passwd"}],
    "no size": [{"path": "a", **FILE, "size": None}],
    "not an entry": ["a"],
}


def hand_made(store: Path, entries: object) -> str:
    snapshot_id = "00000000-0000-0000-0000-000000000000"
    for folder in ("manifests", f"blobs/{FILE['sha256'][:2]}"):  # type: ignore[index]
        (store / folder).mkdir(parents=True, exist_ok=True)
    Path(workcopy.blob_path(str(store), str(FILE["sha256"]))).write_bytes(b"x")
    Path(workcopy.manifest_path(str(store), snapshot_id)).write_text(json.dumps({"format": 1, "entries": entries}))
    return snapshot_id


@pytest.mark.parametrize("entries", UNSAFE.values(), ids=UNSAFE.keys())
def test_an_unsafe_manifest_is_refused_before_anything_is_made(entries: object, tmp_path: Path) -> None:
    snapshot_id = hand_made(tmp_path / "store", entries)
    with pytest.raises(ToolkitError, match="is broken"):
        workcopy.materialise(str(tmp_path / "store"), snapshot_id, str(tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_links_that_climb_out_together_are_refused(tmp_path: Path) -> None:
    entries = [
        {"path": "p/q/a", "mode": "120000", "target": "../.."},
        {"path": "z", "mode": "120000", "target": "p/q/a/../secret"},
    ]
    snapshot_id = hand_made(tmp_path / "store", entries)
    with pytest.raises(ToolkitError, match="leads out of the working copy"):
        workcopy.materialise(str(tmp_path / "store"), snapshot_id, str(tmp_path / "work"))
    assert not (tmp_path / "work/z").is_symlink()


@pytest.mark.parametrize("snapshot_id", ["", "../x", "0" * 36, "00000000-0000-0000-0000-000000000000\n"])
def test_what_is_no_id_is_refused(snapshot_id: str, tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="is not the id of a snapshot"):
        workcopy.materialise(str(tmp_path), snapshot_id, str(tmp_path / "work"))


def test_a_missing_snapshot_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="There is no snapshot 00000000-"):
        snapshots.restore(tmp_path, "00000000-0000-0000-0000-000000000000", tmp_path / "work")


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_missing_or_damaged_content_is_named(damage: str, tmp_path: Path) -> None:
    snapshot_id = hand_made(tmp_path / "store", [{"path": "train.py", **FILE}])
    blob = Path(workcopy.blob_path(str(tmp_path / "store"), str(FILE["sha256"])))
    if damage == "gone":
        blob.unlink()
    else:
        blob.write_bytes(b"")
    with pytest.raises(ToolkitError, match=r"of 'train\.py' is (missing|damaged)"):
        workcopy.materialise(str(tmp_path / "store"), snapshot_id, str(tmp_path / "work"))
