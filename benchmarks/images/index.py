"""A package index and a conda channel on loopback: what ours and the peers install from is the same, equally near."""

from __future__ import annotations

import hashlib
import html
import threading
import zipfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from packaging.utils import canonicalize_name, parse_wheel_filename


class _Handler(SimpleHTTPRequestHandler):
    """Files, with the caching headers that PyPI sends."""

    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        seconds = 365_000_000 if "/files/" in self.path else 600
        self.send_header("Cache-Control", f"max-age={seconds}, public")
        super().end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve a folder with what `add_wheels` made in it, and channels; gives its address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def add_wheels(folder: Path) -> None:
    """Write `folder/simple` for the wheels in `folder/files`, with hashes and metadata as PyPI has them."""
    links: dict[str, list[str]] = defaultdict(list)
    for wheel in sorted((folder / "files").glob("*.whl")):
        metadata = _metadata(wheel)
        (wheel.parent / f"{wheel.name}.metadata").write_bytes(metadata)
        with wheel.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else ""
        digest = digest or hashlib.sha256(wheel.read_bytes()).hexdigest()
        said = f"sha256={hashlib.sha256(metadata).hexdigest()}"
        href = f"../../files/{html.escape(wheel.name)}#sha256={digest}"
        links[canonicalize_name(parse_wheel_filename(wheel.name)[0])].append(
            f'<a href="{href}" data-dist-info-metadata="{said}" data-core-metadata="{said}">{wheel.name}</a><br>'
        )
    for name, found in links.items():
        page = folder / "simple" / name / "index.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text("<!DOCTYPE html><html><body>\n" + "\n".join(found) + "\n</body></html>\n")


def _metadata(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        name = next(one for one in archive.namelist() if one.endswith(".dist-info/METADATA") and one.count("/") == 1)
        return archive.read(name)
