"""What a host takes by content, from several runs of one connection at once."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest

from toolkit.inscript import workcopy
from toolkit.inscript.host.content import Store
from toolkit.inscript.host.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(str(tmp_path), "key/name", str(tmp_path / "inscript"))


def test_two_runs_send_the_same_content_at_once(layout: Layout) -> None:
    store, content = Store(layout), b"a" * 4 + b"b" * 4 + b"c" * 4
    name = hashlib.sha256(content).hexdigest()
    Path(layout.snapshots, "staging").mkdir(parents=True)
    for at in (0, 0, 4, 4, 8, 8):
        piece = base64.b64encode(content[at : at + 4]).decode()
        store.add_piece({"sha256": name, "at": at, "of": len(content), "base64": piece})
    assert Path(workcopy.blob_path(layout.snapshots, name)).read_bytes() == content
    assert not [*Path(layout.snapshots, "staging").iterdir()]


def test_a_folder_is_sent_by_one_run_at_a_time(layout: Layout) -> None:
    store, asked = Store(layout), {"kind": "prefix", "key": "abc"}
    assert "folder" in store.claim(asked)
    assert store.claim(asked) == {"busy": True}
    store.finish({**asked, "failed": True})
    assert "folder" in store.claim(asked)
