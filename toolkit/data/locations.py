"""Where bytes are: a folder of this machine, a file system that fsspec knows, or addresses of the web.

Each location lists the files below it and copies them in and out; paths are relative to it, with `/`.
"""

import os
import shutil
from typing import IO, Any, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from toolkit.data.errors import DatasetExecutionError, missing_package
from toolkit.data.patterns import depth, is_glob, matching, static_prefix
from toolkit.inscript.errors import UserErrorException

WEB = ("http://", "https://")
PART = ".part"  # ends the name of a file that is being written


class Entry(NamedTuple):
    """A file of a location. `mark` changes when the content does, as far as its keeper tells."""

    path: str
    size: int
    mark: str


class Location:
    """What all locations have; see the module."""

    url = ""

    def walk(self, folder: str, deepest: Optional[int] = None) -> Iterator[Entry]:
        """All files below `folder`; those more than `deepest` folders below the root may be left out."""
        raise NotImplementedError

    def file(self, path: str) -> Optional[Entry]:
        """The file at `path`, or None where there is none (or a folder)."""
        raise NotImplementedError

    def open(self, path: str) -> IO[bytes]:
        raise NotImplementedError

    def get(self, path: str, target: str) -> None:
        """Copy a file to `target` on this machine: whole, or not at all."""
        staging = _staged(target)
        try:
            with self.open(path) as source, open(staging, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
            if getattr(source, "length", 0):  # of an answer of the web: what has not come, and nobody says so
                raise DatasetExecutionError("%s/%s ended before it was whole: try again" % (self.url, path))
            os.replace(staging, target)
        finally:
            _remove(staging)

    def put(self, source: str, path: str) -> None:
        """Copy the file `source` of this machine to `path`: whole, or not at all."""
        raise NotImplementedError

    def local(self, path: str) -> Optional[str]:
        """The path on this machine, or None where the files are elsewhere."""
        return None

    def find(self, pattern: str) -> Tuple[str, List[Entry]]:
        """The files that `pattern` (a file, a folder, a glob) stands for, and the folder that their names start at."""
        if not is_glob(pattern):
            entry = self.file(pattern) if pattern else None
            if entry is not None:
                return os.path.dirname(pattern), [entry]
            return pattern, sorted(self.walk(pattern))
        base = static_prefix(pattern)
        found = {entry.path: entry for entry in self.walk(base, depth(pattern))}
        names = matching(pattern, found)
        if not names:  # a glob of folders stands for what is in them
            found = {entry.path: entry for entry in self.walk(base)}
            names = matching(pattern, found, below=True)
        return base, [found[name] for name in sorted(names)]


class Folder(Location):
    """A folder of this machine."""

    def __init__(self, root: str) -> None:
        self.root = os.path.abspath(os.path.expanduser(root))
        self.url = self.root

    def local(self, path: str) -> str:
        return os.path.join(self.root, *path.split("/")) if path else self.root

    def walk(self, folder: str, deepest: Optional[int] = None) -> Iterator[Entry]:
        seen: Set[Tuple[int, int]] = set()
        start = self.local(folder)
        for path, folders, files in os.walk(start, followlinks=True):
            here = os.stat(path)
            if (here.st_dev, here.st_ino) in seen:  # a link that leads back
                folders[:] = []
                continue
            seen.add((here.st_dev, here.st_ino))
            relative = os.path.relpath(path, self.root).replace(os.sep, "/")
            relative = "" if relative == "." else relative + "/"
            folders[:] = sorted(folders) if deepest is None or relative.count("/") + 1 < deepest else []
            for name in sorted(files):
                entry = None if name.endswith(PART) else self.file(relative + name)
                if entry is not None:
                    yield entry

    def file(self, path: str) -> Optional[Entry]:
        full = self.local(path)
        try:
            found = os.stat(full)
        except OSError:
            return None
        if not os.path.isfile(full):
            return None
        return Entry(path, found.st_size, str(found.st_mtime_ns))

    def open(self, path: str) -> IO[bytes]:
        return open(self.local(path), "rb")

    def put(self, source: str, path: str) -> None:
        target = self.local(path)
        staging = _staged(target)
        try:
            shutil.copyfile(source, staging)
            os.replace(staging, target)
        finally:
            _remove(staging)


class Web(Location):
    """A web address and what is below it: files that are named, since the web lists nothing."""

    def __init__(self, root: str) -> None:
        self.url = root.rstrip("/")

    def _address(self, path: str) -> str:
        return self.url + ("/" + path if path else "")

    def walk(self, folder: str, deepest: Optional[int] = None) -> Iterator[Entry]:
        raise UserErrorException(
            "%s is an address of the web, which cannot list what is below it: name each file" % self._address(folder)
        )

    def find(self, pattern: str) -> Tuple[str, List[Entry]]:
        if "*" in pattern:
            list(self.walk(pattern))  # which says that it cannot
        return os.path.dirname(pattern), [Entry(pattern, 0, "")]

    def file(self, path: str) -> Optional[Entry]:
        """Asks the server for size and mark. One that only hands files out, as for a signed URL, says neither."""
        import urllib.request

        request = urllib.request.Request(self._address(path), method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                headers = answer.headers
        except (OSError, ValueError) as error:
            code = getattr(error, "code", 0)
            if code in (403, 405, 501):
                return Entry(path, 0, "")
            if code in (404, 410):
                return None
            raise DatasetExecutionError("%s cannot be reached: %s" % (self._address(path), error))
        mark = headers.get("ETag") or headers.get("Last-Modified") or ""
        return Entry(path, int(headers.get("Content-Length") or 0), str(mark))

    def open(self, path: str) -> IO[bytes]:
        import urllib.request

        try:
            answer: IO[bytes] = urllib.request.urlopen(self._address(path), timeout=60)
        except (OSError, ValueError) as error:
            raise DatasetExecutionError("%s cannot be read: %s" % (self._address(path), error))
        return answer

    def put(self, source: str, path: str) -> None:
        raise UserErrorException("%s is an address of the web: it can be read, not written" % self._address(path))


class Remote(Location):
    """A file system that fsspec knows: S3, Azure, Google Cloud, SFTP, …"""

    def __init__(self, url: str, options: Dict[str, Any]) -> None:
        self.url = url
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            raise missing_package("fsspec", "reading %s" % url)
        try:
            self._system, self._root = url_to_fs(url, **options)
        except ImportError as error:  # fsspec names the package
            raise missing_package(_backend(url), "reading %s (%s)" % (url, error))
        except ValueError as error:
            raise UserErrorException("%s is no address that fsspec knows: %s" % (url, error))

    def _full(self, path: str) -> str:
        return "/".join(part for part in (str(self._root).rstrip("/"), path) if part)

    def _entry(self, path: str, detail: Dict[str, Any]) -> Entry:
        marks = ("etag", "ETag", "md5Hash", "content_md5", "LastModified", "last_modified", "mtime", "created")
        mark = next((str(detail[key]) for key in marks if detail.get(key)), "")
        return Entry(path, int(detail.get("size") or 0), mark)

    def walk(self, folder: str, deepest: Optional[int] = None) -> Iterator[Entry]:
        try:
            found = self._system.find(self._full(folder), detail=True)
        except FileNotFoundError:
            return
        start = str(self._root).rstrip("/")
        for name in sorted(found):
            path = str(name)[len(start) :].lstrip("/") if str(name).startswith(start) else str(name).lstrip("/")
            yield self._entry(path, found[name])

    def file(self, path: str) -> Optional[Entry]:
        try:
            detail = self._system.info(self._full(path))
        except FileNotFoundError:
            return None
        return self._entry(path, detail) if detail.get("type") == "file" else None

    def open(self, path: str) -> IO[bytes]:
        file: IO[bytes] = self._system.open(self._full(path), "rb")
        return file

    def put(self, source: str, path: str) -> None:
        full = self._full(path)
        self._system.makedirs(os.path.dirname(full), exist_ok=True)
        self._system.put_file(source, full)


def location_at(url: str, options: Optional[Dict[str, Any]] = None) -> Location:
    """The location of a URL; one without a scheme is a folder of this machine.

    Raises:
        UserErrorException: fsspec does not know the scheme.
        MissingPackage: the library for it is not there.
    """
    if url.startswith(WEB):
        return Web(url)
    if url.startswith("file://"):
        from urllib.parse import unquote, urlsplit

        return Folder(unquote(urlsplit(url).path))
    if "://" not in url:
        return Folder(url)
    if url.startswith(("wasb://", "wasbs://")):
        url = "abfs://" + url.partition("://")[2]
    return Remote(url, options or {})


def _backend(url: str) -> str:
    """The package that fsspec takes for a scheme, where its error does not say."""
    known = {"s3": "s3fs", "abfs": "adlfs", "abfss": "adlfs", "adl": "adlfs", "gs": "gcsfs", "gcs": "gcsfs"}
    return known.get(url.partition("://")[0], "fsspec")


def _staged(target: str) -> str:
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    return "%s.%d%s" % (target, os.getpid(), PART)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass
