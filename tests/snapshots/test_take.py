"""Snapshots of real folders, on real disks, with real interruptions."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from toolkit import snapshots
from toolkit.errors import SnapshotException, StorageError, UserErrorException
from toolkit.inscript import workcopy
from toolkit.snapshots import Snapshot, freeze

MB = 10**6


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "src"
    (root / "pkg").mkdir(parents=True)
    (root / "train.py").write_text("import pkg\n")
    (root / "pkg/__init__.py").touch()
    (root / "pkg/net.py").write_text("x = 1\n")
    return root


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "workspace" / "snapshots"


@pytest.fixture
def take(store: Path) -> Callable[..., Snapshot]:
    def call(source: Path, **options: object) -> Snapshot:
        return snapshots.take(source, store, **{"limit_bytes": 0, **options})  # type: ignore[arg-type]

    return call


def settle() -> None:
    """Wait until a change just made is older than the clock of files is coarse."""
    time.sleep(0.05)


def paths(store: Path, taken: Snapshot) -> list[str]:
    return [str(entry["path"]) for entry in workcopy.entries(str(store), taken.id)]


def content(store: Path, taken: Snapshot, path: str) -> bytes:
    entries = {entry["path"]: entry for entry in workcopy.entries(str(store), taken.id)}
    return Path(workcopy.blob_path(str(store), str(entries[path]["sha256"]))).read_bytes()


def blobs(store: Path) -> list[Path]:
    return [path for path in (store / "blobs").rglob("*") if path.is_file()]


def assert_sound(store: Path) -> None:
    """Every content is what its name says, and every manifest has all of its contents."""
    for blob in blobs(store):
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.parent.name + blob.name
    for manifest in (store / "manifests").iterdir():
        for entry in json.loads(manifest.read_text())["entries"]:
            if "sha256" in entry:
                assert Path(workcopy.blob_path(str(store), entry["sha256"])).exists()


def test_what_a_snapshot_says_of_itself(source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    taken = take(source)
    assert (taken.files, taken.bytes, taken.new_files, taken.read_files) == (3, 17, 3, 3)
    assert taken.warnings == ()
    assert taken.seconds > 0
    assert paths(store, taken) == ["pkg/__init__.py", "pkg/net.py", "train.py"]
    assert list((store / "staging").iterdir()) == []
    assert_sound(store)


def test_an_unchanged_folder_is_not_read_again(source: Path, take: Callable[..., Snapshot]) -> None:
    settle()
    first = take(source)
    second = take(source)
    assert (second.id, second.read_files, second.new_files) == (first.id, 0, 0)


def test_only_what_changed_is_read(source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    settle()
    first = take(source)
    status = (source / "train.py").stat()
    (source / "train.py").write_text("import gkp\n")  # the same size, and the same time
    os.utime(source / "train.py", ns=(status.st_atime_ns, status.st_mtime_ns))
    settle()
    second = take(source)
    assert (second.read_files, second.new_files) == (1, 1)
    assert second.id != first.id
    assert content(store, second, "train.py") == b"import gkp\n"


def test_a_file_that_changed_just_now_is_read_again(
    source: Path, take: Callable[..., Snapshot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(freeze, "_TICK_NS", 3600 * 10**9)
    take(source)
    assert take(source).read_files == 3


def test_quick_edits_of_one_size_are_all_seen(source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    for number in range(200):
        (source / "train.py").write_text(f"lr = {number:03}\n")
        assert content(store, take(source), "train.py") == f"lr = {number:03}\n".encode()


def test_the_id_comes_from_the_files_alone(source: Path, tmp_path: Path) -> None:
    shutil.copytree(source, tmp_path / "copy")
    first = snapshots.take(source, tmp_path / "one", limit_bytes=0)
    second = snapshots.take(tmp_path / "copy", tmp_path / "two", limit_bytes=0)
    assert first.id == second.id
    assert [len(part) for part in first.id.split("-")] == [8, 4, 4, 4, 12]


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "train.py").write_text("import kpg\n"),
    "name": lambda root: (root / "train.py").rename(root / "main.py"),
    "executable": lambda root: (root / "train.py").chmod(0o755),
    "a new empty file": lambda root: (root / "new").touch(),
    "a link": lambda root: (root / "new").symlink_to("train.py"),
    "a file less": lambda root: (root / "train.py").unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_the_id_changes_with(change: Callable[[Path], object], source: Path, take: Callable[..., Snapshot]) -> None:
    first = take(source)
    change(source)
    assert take(source).id != first.id


def test_contents_are_stored_once(source: Path, tmp_path: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    (source / "again.py").write_text("import pkg\n")
    (source / "large").write_bytes(os.urandom(3 * MB))
    shutil.copytree(source, tmp_path / "other")
    assert take(source).new_files == 4
    assert take(tmp_path / "other").new_files == 0
    assert len(blobs(store)) == 4
    assert list((store / "staging").iterdir()) == []
    assert_sound(store)


def test_an_empty_folder(tmp_path: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    (tmp_path / "empty").mkdir()
    taken = take(tmp_path / "empty")
    assert (taken.files, taken.bytes) == (0, 0)
    snapshots.restore(store, taken.id, tmp_path / "work")
    assert list((tmp_path / "work").iterdir()) == []


def test_a_folder_that_is_missing_or_a_file(source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    with pytest.raises(UserErrorException, match="does not exist"):
        take(source / "missing")
    with pytest.raises(UserErrorException, match="is not a directory"):
        take(source / "train.py")
    assert not store.exists()


def test_names_that_are_not_utf8_survive(tmp_path: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    root = tmp_path / "odd"
    root.mkdir()
    names = [b"caf\xe9", "größe".encode(), b"a\nb", b'"', b"\\", b"\xed\xb2\x80"]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(root), name))).write_bytes(name)
    settle()
    taken = take(root)
    snapshots.restore(store, taken.id, tmp_path / "work")
    restored = {name: Path(os.fsdecode(os.path.join(os.fsencode(tmp_path / "work"), name))) for name in names}
    assert {name: path.read_bytes() for name, path in restored.items()} == {name: name for name in names}
    assert len(os.listdir(tmp_path / "work")) == len(names)
    assert take(root).read_files == 0


def test_the_store_and_what_is_excluded_stay_out(source: Path, take: Callable[..., Snapshot]) -> None:
    (source / "home").mkdir()
    (source / "home/secret").touch()
    store = source / "workspace"
    first = snapshots.take(source, store, limit_bytes=0, exclude=[source / "home"])
    second = snapshots.take(source, store, limit_bytes=0, exclude=[source / "home"])
    assert (first.files, second.files) == (3, 3)


def test_the_plan_names_the_files_without_reading_them(source: Path) -> None:
    (source / "train.py").chmod(0)
    found = snapshots.survey(source)
    assert sorted(path for path, _ in found.files) == [b"pkg/__init__.py", b"pkg/net.py", b"train.py"]
    assert found.bytes == 17


# Links and special files


def test_links_are_kept_inside_and_left_out_where_they_lead_outside(
    source: Path, tmp_path: Path, store: Path, take: Callable[..., Snapshot]
) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_text("s3cret")
    links = {
        "file": "train.py",
        "pkg/up": "../train.py",
        "folder": "pkg",
        "self": ".",
        "loop": "loop",
        "dangling": "missing",
        "absolute": str(source / "pkg" / "net.py"),
        "around": f"../{source.name}/pkg",
        "out": str(tmp_path / "secret"),
        "pkg/out": "../../secret/key",
        "chain": "out",
        "beside": f"../{source.name}-2",
    }
    for name, target in links.items():
        (source / name).symlink_to(target)
    taken = take(source)
    kept = {e["path"]: e["target"] for e in workcopy.entries(str(store), taken.id) if "target" in e}
    unchanged = ("file", "pkg/up", "folder", "self", "loop", "dangling")
    assert kept == {name: links[name] for name in unchanged} | {"absolute": "pkg/net.py", "around": "pkg"}
    assert len(taken.warnings) == 4
    for name in ("out", "pkg/out", "chain", "beside"):
        assert any(warning.startswith(f"{name} was left out: it links out") for warning in taken.warnings)
    assert not any(b"s3cret" in blob.read_bytes() for blob in blobs(store))
    snapshots.restore(store, taken.id, tmp_path / "work")
    assert (tmp_path / "work/absolute").read_text() == "x = 1\n"
    assert (tmp_path / "work/around/net.py").read_text() == "x = 1\n"


def test_a_linked_source_directory(source: Path, tmp_path: Path, take: Callable[..., Snapshot]) -> None:
    (source / "in").symlink_to(source / "train.py")
    (tmp_path / "link").symlink_to(source)
    settle()
    direct = take(source)
    linked = take(tmp_path / "link")
    assert (linked.id, linked.read_files, linked.warnings) == (direct.id, 0, ())


def test_special_files_are_left_out(source: Path, take: Callable[..., Snapshot]) -> None:
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as server, working_directory(source):
        server.bind("socket")
        taken = take(source)
    assert taken.files == 3
    assert sorted(taken.warnings) == [
        "pipe was left out: it is a named pipe.",
        "socket was left out: it is a socket.",
    ]


@contextmanager
def working_directory(folder: Path) -> Iterator[None]:
    was = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(was)


def test_an_unreadable_file_is_named() -> None:
    was = os.geteuid()
    with tempfile.TemporaryDirectory() as folder:
        if was == 0:  # root may read everything: be nobody
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        try:
            root = Path(folder) / "src"
            root.mkdir()
            (root / "key [1].pem").touch(mode=0)
            with pytest.raises(
                SnapshotException, match=r"src/key \[1\]\.pem cannot be read: Permission denied"
            ) as told:
                snapshots.take(root, Path(folder) / "store", limit_bytes=0)
        finally:
            os.seteuid(was)
    assert "add 'key \\\\[1].pem' to" in str(told.value)


# The limit


def sized(root: Path, sizes: dict[str, int]) -> Path:
    for name, size in sizes.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.truncate(size)  # a hole: large without taking room
    return root


def refusal(root: Path, store: Path, limit_bytes: int = 300 * MB) -> list[str]:
    with pytest.raises(SnapshotException) as told:
        snapshots.take(root, store, limit_bytes=limit_bytes)
    return str(told.value).splitlines()


def table(lines: list[str]) -> list[list[str]]:
    return [line.rsplit("  ", 1) for line in lines if line.startswith("  ")]


def test_over_the_limit_names_what_is_large_and_writes_nothing(tmp_path: Path, store: Path) -> None:
    root = sized(tmp_path / "src", {"data/train/a": 250 * MB, "data/test/b": 148 * MB, "net.pt": 14 * MB, "t.py": 2000})
    lines = refusal(root, store)
    assert lines[0] == (
        f"Your total snapshot size exceeds the limit of 300 MB: source_directory {root} has 412.0 MB in 4 files. "
        "The largest:"
    )
    assert [(size.strip(), path) for size, path in table(lines)] == [
        ("398.0 MB", "data/"),
        ("14.0 MB", "net.pt"),
        ("2.0 KB", "t.py"),
    ]
    assert lines[-2].endswith(f"to {root}/.amlignore.")
    assert "snapshot_limit_mb" in lines[-1]
    assert not store.exists()


def test_the_limit_itself_is_allowed_and_zero_is_none(tmp_path: Path, take: Callable[..., Snapshot]) -> None:
    root = sized(tmp_path / "src", {"a": 1000, "b": 500})
    assert take(root, limit_bytes=1500).bytes == 1500
    assert take(root, limit_bytes=0).bytes == 1500
    with pytest.raises(SnapshotException, match="Your total snapshot size exceeds the limit of"):
        take(root, limit_bytes=1499)


def test_directories_are_opened_only_where_one_child_is_nearly_all_of_it(tmp_path: Path, store: Path) -> None:
    sizes = {"a/b/c/x": 10 * MB, "a/b/c/y": 10 * MB, "a/small": 10, "d/e": 30 * MB, "d/f": 4 * MB}
    root = sized(tmp_path / "src", {**sizes, **{f"n{number:02}": 100 for number in range(20)}})
    rows = [path for _, path in table(refusal(root, store, MB))]
    assert rows[:2] == ["d/", "a/b/c/"]
    assert len(rows) == 10


def test_the_lines_of_the_table_work_as_they_are(tmp_path: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    names = ["#a", "!b", "c*", "[d]", "e ", "f\\g", "h?", "größe", "i\nj"]
    root = sized(
        tmp_path / "src",
        dict.fromkeys(names, MB) | {"data/x": MB, "data/y": MB, "src/data/x.py": 10, "c": 10},
    )
    lines = table(refusal(root, store, 5 * MB))
    assert "/data/" in [path for _, path in lines]  # `data/` would mean src/data as well
    chosen = [path for size, path in lines if "MB" in size]
    (root / ".amlignore").write_text("".join(f"{line}\n" for line in chosen))
    assert set(paths(store, take(root, limit_bytes=5 * MB))) == {".amlignore", "c", "src/data/x.py"}


def test_a_name_that_is_no_text_gets_a_line_that_works(
    tmp_path: Path, store: Path, take: Callable[..., Snapshot]
) -> None:
    root = sized(tmp_path / "src", {os.fsdecode(b"caf\xe9"): MB, "a": 10})
    ((_, line),) = [row for row in table(refusal(root, store, 1000)) if "MB" in row[0]]
    (root / ".amlignore").write_text(f"{line}\n")
    assert paths(store, take(root)) == [".amlignore", "a"]


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({}, "to {root}/.amlignore."),
        ({".amlignore": 1}, "to {root}/.amlignore."),
        ({".amlignore": 1, ".gitignore": 1}, "to {root}/.amlignore."),
        ({".gitignore": 1}, "to {root}/.gitignore (not to a new .amlignore, which would replace it)."),
        ({"pkg/.gitignore": 1}, "to {root}/.gitignore (not to a new .amlignore, which would replace it)."),
    ],
)
def test_the_right_ignore_file_is_named(files: dict[str, int], named: str, tmp_path: Path, store: Path) -> None:
    root = sized(tmp_path / "src", {"data": MB, **files})
    assert refusal(root, store, 1000)[-2].endswith(named.format(root=root))


# Changes, interruptions and several at once


def test_a_file_that_is_replaced_all_the_time_is_one_of_its_contents(
    source: Path, store: Path, take: Callable[..., Snapshot]
) -> None:
    contents = [bytes([letter]) * 200_000 for letter in b"abc"]
    (source / "busy").write_bytes(contents[0])
    done = threading.Event()

    def replace() -> None:
        rng = random.Random(1)
        while not done.is_set():
            (source / "busy.new").write_bytes(rng.choice(contents))
            (source / "busy.new").replace(source / "busy")

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(replace)
        try:
            for _ in range(30):
                taken = take(source)
                if "busy" in paths(store, taken):
                    assert content(store, taken, "busy") in contents
        finally:
            done.set()
        writer.result()
    assert_sound(store)


@pytest.mark.parametrize("size", [1000, 2 * MB])
def test_a_file_that_grows_all_the_time_has_the_hash_of_its_content(
    size: int, source: Path, store: Path, take: Callable[..., Snapshot]
) -> None:
    (source / "log.txt").write_bytes(b"x" * size)
    done = threading.Event()

    def grow() -> None:
        with (source / "log.txt").open("ab", buffering=0) as file:
            while not done.is_set():
                file.write(b"line\n")

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(grow)
        try:
            taken = [take(source) for _ in range(10)]
        finally:
            done.set()
        writer.result()
    warned = [warning for one in taken for warning in one.warnings]
    assert all("log.txt kept changing while it was read" in warning for warning in warned)
    settle()
    assert content(store, take(source), "log.txt") == (source / "log.txt").read_bytes()
    assert_sound(store)


def test_several_at_once(source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    for number in range(300):
        (source / f"{number}.py").write_text(f"x = {number}")
    with ThreadPoolExecutor(6) as pool:
        taken = list(pool.map(take, [source] * 6))
    assert len({one.id for one in taken}) == 1
    assert list((store / "staging").iterdir()) == []
    assert_sound(store)


SCRIPT = "import sys, pathlib; from toolkit import snapshots; print(flush=True); "
SCRIPT += "print(snapshots.take(sys.argv[1], pathlib.Path(sys.argv[2]), limit_bytes=0).id)"


def test_killed_at_any_moment(source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    for number in range(2000):
        (source / f"{number}.py").write_text(f"x = {number}")
    (source / "large").write_bytes(os.urandom(20 * MB))
    rng = random.Random(2)
    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", SCRIPT, source, store], stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(rng.random() * 0.25)
            process.send_signal(signal.SIGKILL)
        if (store / "manifests").exists():
            assert_sound(store)
    taken = take(source)
    assert taken.files == 2004
    assert_sound(store)


def test_what_killed_processes_left_is_swept_after_a_day(
    source: Path, store: Path, take: Callable[..., Snapshot]
) -> None:
    take(source)
    (store / "staging/1-old").touch()
    (store / "staging/2-new").touch()
    os.utime(store / "staging/1-old", (time.time() - 90_000,) * 2)
    take(source)
    assert [path.name for path in (store / "staging").iterdir()] == ["2-new"]


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_a_damaged_store_is_mended(
    damage: str, source: Path, tmp_path: Path, store: Path, take: Callable[..., Snapshot]
) -> None:
    settle()
    taken = take(source)
    for blob in blobs(store):
        blob.unlink()
        if damage == "short":
            blob.touch()
    again = take(source)
    assert again.id == taken.id
    assert_sound(store)
    snapshots.restore(store, again.id, tmp_path / "work")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 99}', '{"format": 1, "files": 3}', "\udcff"])
def test_a_broken_index_is_not_believed(text: str, source: Path, store: Path, take: Callable[..., Snapshot]) -> None:
    settle()
    taken = take(source)
    (index,) = (store / "index").iterdir()
    index.chmod(0o600)
    index.write_bytes(text.encode("utf-8", "surrogateescape"))
    again = take(source)
    assert (again.id, again.read_files) == (taken.id, 3)
    assert take(source).read_files == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 512 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None or subprocess.run(command, check=False).returncode:
        pytest.skip("a file system cannot be mounted here: needs root, and mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("size", [600_000, 3 * MB])
def test_a_full_disk_is_said_and_mended(size: int, source: Path, small_disk: Path) -> None:
    (source / "model").write_bytes(os.urandom(size))
    store = small_disk / "snapshots"
    with pytest.raises(StorageError, match=r"Cannot write the snapshot to .*: the disk is full"):
        snapshots.take(source, store, limit_bytes=0)
    assert list((store / "manifests").iterdir()) == list((store / "staging").iterdir()) == []
    assert_sound(store)
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    taken = snapshots.take(source, store, limit_bytes=0)
    assert taken.files == 4
    assert_sound(store)


def test_a_full_disk_for_the_working_copy(source: Path, small_disk: Path, take: Callable[..., Snapshot]) -> None:
    (source / "model").write_bytes(os.urandom(600_000))
    taken = take(source)
    store = small_disk.parent / "workspace" / "snapshots"
    with pytest.raises(StorageError, match=r"Cannot write the working copy to .*: the disk is full"):
        snapshots.restore(store, taken.id, small_disk / "work")


def test_a_read_only_disk(source: Path, small_disk: Path) -> None:
    store = small_disk / "snapshots"
    settle()
    first = snapshots.take(source, store, limit_bytes=0)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    again = snapshots.take(source, store, limit_bytes=0)
    assert (again.id, again.read_files) == (first.id, 0)
    (source / "new").write_text("new")
    with pytest.raises(StorageError, match="read-only"):
        snapshots.take(source, store, limit_bytes=0)
