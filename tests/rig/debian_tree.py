"""The files of Debian packages as one tar of a root file system: the same packages give the same bytes."""

from __future__ import annotations

import io
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

_MERGED = ("bin", "lib", "lib64", "sbin")  # links to usr/… in today's Debian
_LEFT_OUT = (
    "usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/",
    "usr/share/common-licenses/", "usr/share/bug/", "usr/share/ca-certificates/",
)  # fmt: skip
_CERTIFICATES = "usr/share/ca-certificates/"
_SCRIPTS_MAKE = {  # what the packages' scripts, which do not run here, would have copied
    "etc/passwd": "usr/share/base-passwd/passwd.master",
    "etc/group": "usr/share/base-passwd/group.master",
    "etc/nsswitch.conf": "usr/share/libc-bin/nsswitch.conf",
}


@dataclass(frozen=True)
class Entry:
    """A file, folder or link: its head, and what is in it."""

    member: tarfile.TarInfo
    content: bytes = b""


def write(archives: list[Path], target: Path, links: dict[str, str]) -> None:
    """Write the packages' files to the tar `target`, with symbolic `links` (path: what it leads to) besides."""
    entries: dict[str, Entry] = {}
    for archive in archives:
        entries.update(_entries(archive))
    _finish(entries)
    for path, leads_to in links.items():
        entries.setdefault(path, _link(leads_to))
    with tarfile.open(target, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(entries):
            member = entries[path].member
            if not path.startswith(_LEFT_OUT) and "/gconv/" not in path:
                member.name, member.mtime, member.size = path, 0, len(entries[path].content)
                tar.addfile(member, io.BytesIO(entries[path].content))


def _entries(archive: Path) -> dict[str, Entry]:
    """The package's files by their path in a merged /usr; a hard link becomes the file that it is."""
    packed = subprocess.run(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE, check=True).stdout
    found: dict[str, Entry] = {}
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        for member in tar:
            path = _merged(member.name)
            if not path or path in _MERGED:
                continue
            stream = tar.extractfile(member) if member.isreg() or member.islnk() else None
            content = stream.read() if stream else b""
            if member.islnk():
                member.type, member.linkname = tarfile.REGTYPE, ""
            found[path] = Entry(member, content)
    return found


def _merged(name: str) -> str:
    path = name.removeprefix("./").strip("/").removeprefix(".")
    return f"usr/{path}" if path.split("/")[0] in _MERGED and "/" in path else path


def _link(leads_to: str) -> Entry:
    member = tarfile.TarInfo()
    member.type, member.linkname, member.mode = tarfile.SYMTYPE, leads_to, 0o777
    return Entry(member)


def _finish(entries: dict[str, Entry]) -> None:
    """Add what the packages' scripts make."""
    for path in _MERGED:
        entries[path] = _link(f"usr/{path}")
    for path, source in _SCRIPTS_MAKE.items():
        if source in entries:
            entries[path] = Entry(_file(), entries[source].content)
    roots = [entry.content for path, entry in sorted(entries.items()) if path.startswith(_CERTIFICATES)]
    if roots:
        entries["etc/ssl/certs/ca-certificates.crt"] = Entry(_file(), b"".join(roots))


def _file() -> tarfile.TarInfo:
    member = tarfile.TarInfo()
    member.mode = 0o644
    return member
