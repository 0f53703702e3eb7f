"""Data that is not on this machine's disks: a real server of the web, and file systems of fsspec."""

from __future__ import annotations

import functools
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import Submit, driver_log, wait_until
from toolkit import Dataset, OutputFileDatasetConfig, UserErrorException, Workspace
from toolkit.data.datastore import Datastore
from toolkit.data.errors import DatasetExecutionError, MissingPackage
from toolkit.data.fetching import fetch
from toolkit.data.files import DataFile
from toolkit.data.locations import Entry, Web
from toolkit.paths import home


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server that has `titanic.csv` and `images/1.png`."""
    folder = tmp_path / "www"
    (folder / "images").mkdir(parents=True)
    (folder / "titanic.csv").write_text("name,age\nRose,17\nJack,20\n")
    (folder / "images/1.png").write_text("png")
    Quiet.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def elsewhere(workspace: Workspace, tmp_path: Path) -> Datastore:
    """A datastore that is reached through fsspec only."""
    (tmp_path / "elsewhere").mkdir()
    options = {"path": str(tmp_path / "elsewhere"), "target_protocol": "file", "target_options": {"auto_mkdir": True}}
    return Datastore.register_fsspec(workspace, "elsewhere", "dir://", **options)


def test_a_table_of_the_web(web: str, workspace: Workspace) -> None:
    table = Dataset.Tabular.from_delimited_files(path=web + "/titanic.csv")
    assert table.to_pandas_dataframe()["age"].tolist() == [17, 20]
    table.register(workspace, "titanic")
    assert Dataset.get_by_name(workspace, "titanic").take(1).to_pandas_dataframe()["name"].tolist() == ["Rose"]
    with pytest.raises(DatasetExecutionError, match=r"none\.csv cannot be read.*404"):
        Dataset.Tabular.from_delimited_files(web + "/none.csv").to_pandas_dataframe()
    with pytest.raises(UserErrorException, match="cannot list"):
        Dataset.File.from_files(web + "/images/*.png").to_path()


def test_files_of_the_web_are_downloaded(web: str, tmp_path: Path) -> None:
    files = Dataset.File.from_files([web + "/images/1.png", web + "/titanic.csv?version=1"])
    assert files.to_path() == ["/images/1.png", "/titanic.csv"]
    one = Dataset.File.from_files(web + "/images/1.png")
    assert one.to_path() == ["/1.png"]
    (path,) = one.download(str(tmp_path / "got"))
    assert Path(path).read_text() == "png"


def test_a_run_has_files_of_the_web_as_files_and_they_are_fetched_once(web: str, submit: Submit) -> None:
    files = Dataset.File.from_files(web + "/titanic.csv")
    script = "import sys; print(open(sys.argv[1]).read())"
    for _ in range(2):
        run = submit(script, arguments=[files.as_named_input("titanic").as_download()])
        run.wait_for_completion()
        assert "Rose,17" in driver_log(run)
    assert Quiet.asked == ["/titanic.csv"]
    assert len(list((home().data / "fetched").iterdir())) == 1


def test_a_datastore_through_fsspec(elsewhere: Datastore, tmp_path: Path, workspace: Workspace) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a.csv").write_text("x\n1\n")
    (source / "sub/b.csv").write_text("x\n2\n")
    assert elsewhere.datastore_type == "Fsspec"
    elsewhere.upload(str(source), "up", show_progress=False)
    assert elsewhere.list_files() == ["up/a.csv", "up/sub/b.csv"]
    assert (tmp_path / "elsewhere/up/sub/b.csv").read_text() == "x\n2\n"
    files = Dataset.File.from_files((elsewhere, "up/**/*.csv"))
    assert files.to_path() == ["/a.csv", "/sub/b.csv"]
    assert [Path(path).name for path in files.download()] == ["a.csv", "b.csv"]
    table = Dataset.Tabular.from_delimited_files((elsewhere, "up/**/*.csv"))
    assert table.to_pandas_dataframe()["x"].tolist() == [1, 2]
    assert files.register(workspace, "far").content().startswith("listing:")
    assert elsewhere.download(str(tmp_path / "down"), prefix="up/sub", show_progress=False) == 1


def test_a_run_reads_and_writes_a_datastore_through_fsspec(
    elsewhere: Datastore, tmp_path: Path, submit: Submit, workspace: Workspace
) -> None:
    (tmp_path / "elsewhere/in").mkdir()
    (tmp_path / "elsewhere/in/a.txt").write_text("from far")
    made = OutputFileDatasetConfig("made", (elsewhere, "out/{run-id}")).register_on_complete("far made")
    run = submit(
        """
        import os, sys
        text = open(os.path.join(sys.argv[1], "a.txt")).read()
        open(os.path.join(sys.argv[2], "b.txt"), "w").write(text.upper())
        """,
        arguments=[elsewhere.path("in").as_mount(), made],
    )
    run.wait_for_completion()
    assert (tmp_path / "elsewhere/out" / run.id / "b.txt").read_text() == "FROM FAR"
    assert Dataset.get_by_name(workspace, "far made").to_path() == ["/b.txt"]


def test_a_library_that_is_missing_is_named(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    store = Datastore.register_azure_blob_container(workspace, "blob", "container", "account")
    with pytest.raises(MissingPackage, match="add 'adlfs'"):
        store.list_files()
    with pytest.raises(UserErrorException, match="no address that fsspec knows"):
        Dataset.File.from_files("nonsense://x/y")


class Grudging(BaseHTTPRequestHandler):
    """Answers no HEAD, as for a signed URL; and `short.csv` ends before it is whole."""

    def do_HEAD(self) -> None:
        self.send_error(404 if self.path == "/none.csv" else 403)

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100" if self.path == "/short.csv" else "4")
        self.end_headers()
        self.wfile.write(b"a\n1\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_a_server_that_says_nothing_beforehand_or_ends_too_early(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Grudging)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    web = Web(f"http://127.0.0.1:{server.server_port}")
    try:
        files = [DataFile(web, Entry("whole.csv", 0, ""), "whole.csv")]
        folder = Path(fetch(files, str(tmp_path / "cache"), lambda done, total: None))
        assert (folder / "whole.csv").read_text() == "a\n1\n"
        assert web.file("none.csv") is None
        with pytest.raises(DatasetExecutionError, match=r"short\.csv ended before it was whole"):
            web.get("short.csv", str(tmp_path / "short.csv"))
        assert not (tmp_path / "short.csv").exists()
        assert Dataset.Tabular.from_delimited_files(web.url + "/whole.csv").to_pandas_dataframe()["a"].tolist() == [1]
        with pytest.raises(DatasetExecutionError, match=r"short\.csv cannot be read .* ended before it was whole"):
            Dataset.Tabular.from_delimited_files(web.url + "/short.csv").to_pandas_dataframe()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_datastore_that_hangs_can_be_cancelled(submit: Submit, workspace: Workspace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        address = f"ftp://127.0.0.1:{silent.getsockname()[1]}/"
        hangs = Datastore.register_fsspec(workspace, "hangs", address, timeout=600)
        run = submit(
            "import os, sys; open(os.path.join(sys.argv[1], 'model.txt'), 'w').write('weights')",
            arguments=[OutputFileDatasetConfig("made", (hangs, "out"))],
        )
        wait_until(lambda: run.get_status() == "Finalizing")
        run.cancel()
        details = run.wait_for_completion(raise_on_error=False)
    assert details["status"] == "Failed"
    assert details["error"]["error"]["code"] == "OutputError"
    assert "cancelled while its outputs were copied" in details["error"]["error"]["message"]
    kept = [*Path(run.directory.root).rglob("model.txt")]
    assert [path.read_text() for path in kept] == ["weights"]
