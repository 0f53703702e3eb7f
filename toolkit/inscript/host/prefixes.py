"""Making an environment that was built on another machine work under its path on this one.

The packages are files that do not know where they are, but for: `pyvenv.cfg` and the links to the base interpreter, the
first lines of scripts, and those files of conda packages into which their prefix is written.
"""

import glob
import json
import os
import shutil
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Optional

from toolkit.inscript.host.content import Store, folders_below
from toolkit.inscript.host.layout import Layout

_LARGEST_SCRIPT = 1000000
_PROBE = (
    "import sys, ctypes, hashlib, ssl, zlib; sys.stdout.write('%d.%d.%d\\n%s' % "
    "(sys.version_info[:3] + (getattr(sys, '_base_executable', None) or sys.executable,)))"
)
_SECONDS = 30


def finish(layout: Layout, store: Store, asked: Dict[str, Any]) -> Dict[str, Any]:
    """An environment was sent: make it work here and put it in place.

    Args:
        asked: `key`; `kind`, "venv" or "conda"; `root`, its path on the other machine; `version` of its Python.

    Returns:
        {"folder": PATH}, or {"no_python": "3.11"} where no interpreter for it is here: then nothing was changed.
    """
    final = layout.prefix(asked["key"])
    stage = os.path.join(layout.staging, asked["key"])
    if asked["kind"] == "venv":
        base = find_python(layout, asked["version"])
        if base is None:
            return {"no_python": asked["version"]}
        _point_to(stage, base)
    else:
        _rewrite_packages(stage, asked["root"], final)
    _rewrite_scripts(stage, asked["root"], final)
    _check(stage, asked)
    store.put_in_place(final)
    store.release(final)
    return {"folder": final}


def finish_python(layout: Layout, store: Store, asked: Dict[str, Any]) -> Dict[str, Any]:
    """An interpreter was sent: let it find its own library, and put it in place.

    Args:
        asked: `key`; `root`, its folder on the other machine; `version`.
    """
    final = layout.python(asked["key"])
    program = os.path.join("bin", "python" + ".".join(asked["version"].split(".")[:2]))
    path = os.path.join(layout.staging, asked["key"], program)
    with open(path, "rb") as file:
        found = file.read()
    # Where it looks is a string in the program. Another that is not longer takes its place, filled up with zeros.
    old, new = os.fsencode(os.path.join(asked["root"], "lib")) + b"\0", b"$ORIGIN/../lib"
    if old in found and len(new) < len(old):
        _write_anew(path, found.replace(old, new.ljust(len(old), b"\0")))
    store.put_in_place(final)
    store.release(final)
    return {"folder": final}


def find_python(layout: Layout, version: str) -> Optional[str]:
    """An interpreter of the same minor version that is no venv's: the very version first. None where there is none."""
    minor = ".".join(version.split(".")[:2])
    found = {}
    for path in _candidates(layout, minor):
        said = _probe(path)
        if said is not None and said[0].split(".")[:2] == minor.split(".") and said[1] not in found:
            found[said[1]] = said[0]
            if said[0] == version:
                return said[1]
    return sorted(found, key=lambda path: [int(part) for part in found[path].split(".")])[-1] if found else None


def _candidates(layout: Layout, minor: str) -> Iterator[str]:
    name = "python" + minor
    for key in folders_below(os.path.dirname(layout.python("x"))):
        yield os.path.join(layout.python(key), "bin", name)
    if "%d.%d" % sys.version_info[:2] == minor:
        yield sys.executable
    home = os.path.expanduser("~")
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    folders += ["/usr/bin", "/usr/local/bin", "/opt/python/%s/bin" % minor]
    for pattern in (
        ".local/share/uv/python/cpython-%s*/bin",
        ".pyenv/versions/%s*/bin",
        ".local/share/mise/installs/python/%s*/bin",
    ):
        folders += sorted(glob.glob(os.path.join(home, pattern % minor)))
    folders += sorted(glob.glob("/opt/*/bin"))
    for folder in folders:
        if os.access(os.path.join(folder, name), os.X_OK):
            yield os.path.join(folder, name)


def _probe(path: str) -> Optional[List[str]]:
    """The version of an interpreter, and the one that is behind it; None where it does not work."""
    try:
        said = subprocess.check_output([path, "-I", "-S", "-c", _PROBE], stderr=subprocess.DEVNULL, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    words = said.decode("utf-8", "replace").splitlines()
    return words if len(words) == 2 and os.access(words[1], os.X_OK) else None


def _point_to(stage: str, base: str) -> None:
    """Let a venv stand on the interpreter `base`."""
    configuration = os.path.join(stage, "pyvenv.cfg")
    with open(configuration, encoding="utf-8") as file:
        lines = file.read().splitlines()
    own = {"home": os.path.dirname(base), "executable": base, "base-executable": base}
    own.update({"base-prefix": os.path.dirname(os.path.dirname(base)), "base-exec-prefix": ""})
    kept = []
    for line in lines:
        name = line.partition("=")[0].strip()
        if name in own:
            line = "%s = %s" % (name, own[name])
        if name not in ("command", "base-exec-prefix"):
            kept.append(line)
    _write_anew(configuration, "\n".join(kept).encode("utf-8") + b"\n")
    for name in os.listdir(os.path.join(stage, "bin")):
        path = os.path.join(stage, "bin", name)
        if name.startswith("python") and os.path.islink(path) and os.path.isabs(os.readlink(path)):
            os.unlink(path)
            os.symlink(base, path)


def _rewrite_scripts(stage: str, old: str, new: str) -> None:
    """Let the scripts in `bin`, and files that name paths for Python, name the path of this host."""
    ours = [os.path.join(stage, "bin", name) for name in os.listdir(os.path.join(stage, "bin"))]
    for path in ours + glob.glob(os.path.join(stage, "lib", "python*", "site-packages", "*.pth")):
        if os.path.islink(path) or not os.path.isfile(path) or os.path.getsize(path) > _LARGEST_SCRIPT:
            continue
        with open(path, "rb") as file:
            found = file.read()
        if b"\0" not in found and os.fsencode(old) in found:
            _write_anew(path, found.replace(os.fsencode(old), os.fsencode(new)))


def _rewrite_packages(stage: str, old: str, new: str) -> None:
    """Write the new prefix where conda packages have theirs, as their records say."""
    for record in glob.glob(os.path.join(stage, "conda-meta", "*.json")):
        with open(record, encoding="utf-8") as file:
            document = json.load(file)
        for entry in (document.get("paths_data") or {}).get("paths") or ():
            path = os.path.join(stage, entry["_path"])
            if entry.get("prefix_placeholder") and os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as content:
                    found = content.read()
                width = len(os.fsencode(entry["prefix_placeholder"]))
                if entry.get("file_mode") == "binary":
                    _write_anew(path, in_binary(found, os.fsencode(old), os.fsencode(new), width, path))
                else:
                    _write_anew(path, found.replace(os.fsencode(old), os.fsencode(new)))


def in_binary(found: bytes, old: bytes, new: bytes, width: int, path: str) -> bytes:
    """`found` with the path `old` replaced, in the same number of bytes.

    Strings there end with a zero, and the installer has filled up with zeros what the `width` bytes of the
    placeholder left free, so a longer path fits up to that.
    """
    pieces: List[bytes] = []
    position = 0
    while True:
        at = found.find(old, position)
        if at < 0:
            return b"".join(pieces) + found[position:]
        end = found.find(b"\0", at)
        text = found[at : end if end >= 0 else len(found)]
        changed = text.replace(old, new)
        room = len(text) + (width - len(old)) * text.count(old)
        if len(changed) > room:
            raise ValueError("the path of the environment on this host is too long for %s: use a shorter folder" % path)
        size = max(len(text), len(changed))
        if found[at + len(text) : at + size].strip(b"\0"):
            raise ValueError("%s has no room for the path of the environment on this host: use a shorter folder" % path)
        pieces += [found[position:at], changed.ljust(size, b"\0")]
        position = at + size


def _write_anew(path: str, content: bytes) -> None:
    """Replace a file: it may be a link into a cache."""
    fresh = path + ".new"
    with open(fresh, "wb") as file:
        file.write(content)
    shutil.copymode(path, fresh)
    os.replace(fresh, path)


def _check(stage: str, asked: Dict[str, Any]) -> None:
    python = os.path.join(stage, "bin", "python")
    try:
        subprocess.check_output([python, "-I", "-c", "import ctypes"], stderr=subprocess.STDOUT, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        words = (getattr(error, "output", None) or str(error).encode()).decode("utf-8", "replace").split("\n")[0]
        raise ValueError(
            "the environment was sent, and its Python %s does not run on this host (%s): its C library may be older "
            "than that of the machine that built it" % (asked["version"], words)
        )
