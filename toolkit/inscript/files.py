"""Files that are written whole or not at all, and lines that are appended in one write."""

import errno
import fcntl
import json
import os
from typing import Any, List


def read_json(path: str, default: Any = None) -> Any:
    """The JSON document in `path`, or `default` where there is no such file."""
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return default


def write_text(path: str, text: str, mode: int = 0o666) -> None:
    """Write `text` to `path` so that a reader sees the old file or the whole new one, never a part.

    Args:
        mode: who may read and write it, as far as the umask lets them.
    """
    staging = "%s.%s-%d.tmp" % (path, os.uname().nodename, os.getpid())
    try:
        descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(staging, path)
    except BaseException:
        try:
            os.unlink(staging)
        except OSError:
            pass
        raise


def write_json(path: str, value: object, mode: int = 0o666) -> None:
    """Write `value` as JSON, whole or not at all (see `write_text`)."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", mode)


def claim_json(path: str, value: object) -> bool:
    """Write `value` to `path` unless the file exists already. True where this call wrote it.

    The file appears whole: it is written beside and linked into place, and linking fails where somebody was first.
    """
    staging = "%s.%s-%d.tmp" % (path, os.uname().nodename, os.getpid())
    write_json(staging, value)
    try:
        os.link(staging, path)
    except OSError as error:
        if error.errno == errno.EEXIST:
            return False
        raise
    finally:
        os.unlink(staging)
    return True


def append_line(path: str, line: str) -> None:
    """Append one line in one write. Where a full disk once took only a part of a line, that part stays by itself."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        end = os.lseek(descriptor, 0, os.SEEK_END)
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        content = ("\n" if torn else "") + line + "\n"
        encoded = content.encode("utf-8", "surrogatepass")
        if os.write(descriptor, encoded) != len(encoded):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    finally:
        os.close(descriptor)


def read_lines(path: str) -> List[str]:
    """The whole lines of `path`; a torn last line, which a writer is in the middle of, is left out."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except FileNotFoundError:
        return []
    whole = content[: content.rfind(b"\n") + 1]
    return whole.decode("utf-8", "replace").splitlines()


def is_within(parent: str, path: str) -> bool:
    """Whether `path`, with `..` and links resolved, lies below the folder `parent`."""
    parent, path = os.path.realpath(parent), os.path.realpath(path)
    return path == parent or path.startswith(parent.rstrip(os.sep) + os.sep)


def is_locked(path: str) -> bool:
    """Whether somebody holds the lock of the file `path`, which the kernel takes from whoever ends, however."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
