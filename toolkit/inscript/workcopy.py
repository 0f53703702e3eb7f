"""The working copy of a run: its snapshot as files that the script may change, and what is left of it afterwards.

A snapshot is a manifest, `manifests/<id>.json`, and the contents that it names, `blobs/ab/cdef...` by their sha256:

    {"format": 1, "entries": [{"path": "train.py", "sha256": "ab...", "size": 812, "mode": "100644"},
                              {"path": "latest", "mode": "120000", "target": "models/3"}]}

Modes are git's: 100644 a file, 100755 an executable one, 120000 a symbolic link. Names are bytes to the system and
UTF-8 with surrogate escapes in a manifest, whatever the locale of this machine is.
"""

import errno
import json
import os
import re
import stat

from toolkit.inscript.errors import ToolkitError

FORMAT = 1
_CHUNK = 1 << 20
_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_SHA256 = re.compile("[0-9a-f]{64}")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)
_MTIME_BASE = 978307200  # 2001-01-01: in the past on every machine, and fit for zip files


def manifest_path(store, snapshot_id):
    # type: (str, str) -> str
    """The file that lists a snapshot. Raises ToolkitError where `snapshot_id` is no id."""
    if not _ID.fullmatch(snapshot_id):
        raise ToolkitError("%r is not the id of a snapshot" % snapshot_id)
    return os.path.join(store, "manifests", snapshot_id + ".json")


def blob_path(store, sha256):
    # type: (str, str) -> str
    """The file that holds the content with this sha256."""
    return "%s/blobs/%s/%s" % (store, sha256[:2], sha256[2:])


def entries(store, snapshot_id):
    # type: (str, str) -> list[dict[str, object]]
    """The entries of a snapshot, checked: no path leads out, none lies below a link or a file.

    Raises:
        ToolkitError: there is no such snapshot, or its manifest is broken or unsafe.
    """
    path = manifest_path(store, snapshot_id)
    try:
        with open(path, encoding="ascii") as file:
            manifest = json.load(file)
        found = manifest["entries"]
        if manifest["format"] != FORMAT:
            raise ToolkitError("%s has format %r, this version reads %d" % (path, manifest["format"], FORMAT))
        _check(found)
    except EnvironmentError as error:
        if error.errno != errno.ENOENT:
            raise
        raise ToolkitError("There is no snapshot %s in %s: was it deleted?" % (snapshot_id, store))
    except (ValueError, KeyError, TypeError) as error:
        raise ToolkitError("The manifest %s is broken (%s): submit the sources again" % (path, error))
    return found  # type: ignore[no-any-return]


def _check(found):
    # type: (list[dict[str, object]]) -> None
    """Raise ValueError, KeyError or TypeError where an entry is not what `toolkit.snapshots` writes."""
    parents = set()
    paths = set()
    for entry in found:
        path, mode = str(entry["path"]), entry["mode"]
        if os.path.isabs(path) or "\0" in path or not {"", ".", ".."}.isdisjoint(path.split("/")):
            raise ValueError("the path %r leads out of the working copy" % path)
        if path in paths:
            raise ValueError("the path %r is there twice" % path)
        paths.add(path)
        parent = os.path.dirname(path)
        while parent and parent not in parents:
            parents.add(parent)
            parent = os.path.dirname(parent)
        if mode == "120000":
            target = str(entry["target"])
            if os.path.isabs(target) or "\0" in target or _leaves(os.path.join(os.path.dirname(path), target)):
                raise ValueError("the link %r leads out of the working copy, to %r" % (path, target))
        elif mode not in ("100644", "100755") or not _SHA256.fullmatch(str(entry["sha256"])):
            raise ValueError("the entry of %r has no mode or sha256" % path)
        elif not isinstance(entry["size"], int):
            raise ValueError("the entry of %r has no size" % path)
    below = parents & paths
    if below:
        raise ValueError("%r is both a file or a link and a directory" % min(below))


def _leaves(path):
    # type: (str) -> bool
    normal = os.path.normpath(path)
    return normal == ".." or normal.startswith("../")


def materialise(store, snapshot_id, destination, keep=False):
    # type: (str, str, str, bool) -> None
    """Make the working copy of a snapshot in `destination`, which is created where it is missing.

    Every file is a copy of its own (never a hard link: scripts write in place), with the executable bit and a
    modification time made from its content, by which `leave_only_new` knows it again. Calling it once more makes
    the copy whole again after an interruption; other files in `destination` stay. With `keep`, what is there as it was
    made stays too.

    Raises:
        ToolkitError: the snapshot is missing, broken or unsafe, or `destination` has a link where it needs a directory.
        OSError: the disk is full, or something cannot be read or written.
    """
    found = entries(store, snapshot_id)
    root = os.fsencode(destination)
    os.makedirs(destination, exist_ok=True)
    real = {b""}  # directories that were seen to be directories
    links = []
    for entry in found:
        path = _bytes(entry["path"])
        _make_directories(root, os.path.dirname(path), real)
        if entry["mode"] == "120000":
            links.append((path, _bytes(entry["target"])))
        elif not (keep and _is_there(entry, root + b"/" + path)):
            _copy(store, entry, root + b"/" + path)
    for path, target in links:
        _link(root, path, target)


def _bytes(name):
    # type: (object) -> bytes
    return str(name).encode("utf-8", "surrogateescape")


def _make_directories(root, path, real):
    # type: (bytes, bytes, set[bytes]) -> None
    if path in real:
        return
    _make_directories(root, os.path.dirname(path), real)
    full = root + b"/" + path
    try:
        os.mkdir(full)
    except OSError as error:
        if error.errno != errno.EEXIST:
            raise
        if not stat.S_ISDIR(os.lstat(full).st_mode):
            raise ToolkitError("%r is in the way: the snapshot needs a directory there" % os.fsdecode(full))
    real.add(path)


def _mtime(sha256):
    # type: (str) -> int
    """The modification time of a copy of this content, in seconds.

    It differs from content to content, so that caches which go by size and time (bytecode) never mix up two; and it
    is even, for file systems that count in two seconds.
    """
    return _MTIME_BASE + int(sha256[:7], 16) // 2 * 2


def _copy(store, entry, path):
    # type: (str, dict[str, object], bytes) -> None
    sha256 = str(entry["sha256"])
    blob = blob_path(store, sha256)
    try:
        source = os.open(blob, os.O_RDONLY)
    except FileNotFoundError:
        raise ToolkitError("The content %s of %r is missing: submit the sources again" % (blob, entry["path"]))
    try:
        target = _create(path, 0o777 if entry["mode"] == "100755" else 0o666)
        try:
            size = _transfer(source, target)
            os.utime(target, (_mtime(sha256),) * 2)
        finally:
            os.close(target)
    finally:
        os.close(source)
    if size != entry["size"]:
        raise ToolkitError(
            "The content %s of %r is damaged, %d bytes instead of %s: delete that file and submit the sources again"
            % (blob, entry["path"], size, entry["size"])
        )


def _create(path, mode):
    # type: (bytes, int) -> int
    """Open a new file. What was there is removed, never written to: it may be a link."""
    try:
        return os.open(path, _NEW, mode)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, _NEW, mode)


def _transfer(source, target):
    # type: (int, int) -> int
    size = 0
    chunk = os.read(source, _CHUNK)
    while chunk:
        size += len(chunk)
        written = os.write(target, chunk)
        while written < len(chunk):  # a full disk takes a part first, and raises at the next attempt
            chunk = chunk[written:]
            written = os.write(target, chunk)
        chunk = os.read(source, _CHUNK)
    return size


def _link(root, path, target):
    # type: (bytes, bytes, bytes) -> None
    full = root + b"/" + path
    try:
        os.symlink(target, full)
    except FileExistsError:
        os.unlink(full)
        os.symlink(target, full)
    # Links one after the other can climb higher than each of them says.
    inside = os.path.join(os.path.realpath(root), b"")
    if not os.path.join(os.path.realpath(full), b"").startswith(inside):
        os.unlink(full)
        raise ToolkitError("The link %r leads out of the working copy: it was not made" % os.fsdecode(path))


def leave_only_new(store, snapshot_id, destination):
    # type: (str, str, str) -> None
    """After a run: delete what is still as `materialise` made it, and the directories that become empty by it.

    What the script made, changed or touched stays, and so does what cannot be deleted.

    Raises:
        ToolkitError: the snapshot is missing or broken.
    """
    root = os.path.realpath(os.fsencode(destination))
    directories = {}  # type: dict[bytes, bool]
    for entry in entries(store, snapshot_id):
        path = _bytes(entry["path"])
        if _is_real(root, os.path.dirname(path), directories):
            try:
                if _is_unchanged(entry, root + b"/" + path):
                    os.unlink(root + b"/" + path)
            except OSError:
                pass
    for directory in sorted(directories, reverse=True):  # the deepest first
        if directory and directories[directory]:
            try:
                os.rmdir(root + b"/" + directory)
            except OSError:
                pass


def move_unchanged(store, snapshot_id, destination, other, before):
    # type: (str, str, str, str, float) -> None
    """After a run: move the files that nobody has touched since `before`, seconds since the epoch, to `other`.

    The time of the last change of an inode cannot be set, so whatever was done to a file shows.
    """
    root, there = os.path.realpath(os.fsencode(destination)), os.fsencode(other)
    directories = {}  # type: dict[bytes, bool]
    made = {b""}
    for entry in entries(store, snapshot_id):
        path = _bytes(entry["path"])
        if entry["mode"] == "120000" or not _is_real(root, os.path.dirname(path), directories):
            continue
        try:
            found = os.lstat(root + b"/" + path)
            if found.st_ctime < before and found.st_nlink == 1 and _is_unchanged(entry, root + b"/" + path):
                _make_directories(there, os.path.dirname(path), made)
                os.rename(root + b"/" + path, there + b"/" + path)
        except OSError:
            pass


def _is_there(entry, path):
    # type: (dict[str, object], bytes) -> bool
    try:
        return _is_unchanged(entry, path)
    except OSError:
        return False


def _is_real(root, path, directories):
    # type: (bytes, bytes, dict[bytes, bool]) -> bool
    """Whether the directory and its parents are directories still: the script may have put a link in the place."""
    if path not in directories:
        above = not path or _is_real(root, os.path.dirname(path), directories)
        try:
            directories[path] = above and stat.S_ISDIR(os.lstat(root + b"/" + path).st_mode)
        except OSError:
            directories[path] = False
    return directories[path]


def _is_unchanged(entry, path):
    # type: (dict[str, object], bytes) -> bool
    found = os.lstat(path)
    if entry["mode"] == "120000":
        return stat.S_ISLNK(found.st_mode) and os.readlink(path) == _bytes(entry["target"])
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size == entry["size"]
        and found.st_mtime_ns == _mtime(str(entry["sha256"])) * 10**9
    )
