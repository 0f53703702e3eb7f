"""Datastores: the two of every workspace, folders and URLs that are registered."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from toolkit import UserErrorException, Workspace
from toolkit.data.datastore import AzureBlobDatastore, AzureFileDatastore, Datastore


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.txt").write_text("a")
    (folder / "sub" / "b.txt").write_text("b")
    return folder


@pytest.fixture
def store(workspace: Workspace) -> Datastore:
    return Datastore.get_default(workspace)


def test_every_workspace_has_two(workspace: Workspace) -> None:
    assert set(Datastore.get_all(workspace)) == {"workspaceblobstore", "workspacefilestore"}
    default = Datastore.get_default(workspace)
    assert default.name == "workspaceblobstore" and default.datastore_type == "AzureBlob"
    assert isinstance(default, AzureBlobDatastore) and default.container_name and default.account_name
    files = Datastore(workspace, "workspacefilestore")
    assert isinstance(files, AzureFileDatastore) and files.datastore_type == "AzureFile"
    assert Datastore.get(workspace, datastore_name="workspacefilestore") == files != default
    with pytest.raises(UserErrorException, match="cannot be unregistered"):
        default.unregister()


def test_one_that_is_not_there(workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match=r"Could not find datastore 'nope'.*workspaceblobstore"):
        Datastore.get(workspace, "nope")
    for name in ("../x", "default", "a/b", ""):
        with pytest.raises(UserErrorException):
            Datastore.register_fsspec(workspace, name, "/tmp")


def test_upload_and_download(store: Datastore, files: Path, tmp_path: Path, capsys: Any) -> None:
    reference = store.upload(src_dir=str(files), target_path="in/x", overwrite=False, show_progress=True)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "Uploading an estimated of 2 files" and printed[-1] == "Uploaded 2 files"
    assert reference.path_on_datastore == "in/x" and reference.datastore == store
    assert store.list_files() == ["in/x/a.txt", "in/x/sub/b.txt"]

    (files / "a.txt").write_text("changed")
    store.upload(str(files), "in/x", show_progress=False)
    target = tmp_path / "got"
    assert store.download(str(target), prefix="in/x") == 2
    assert (target / "in/x/a.txt").read_text() == "a", "what is there stays without overwrite"
    store.upload(str(files), "in/x", overwrite=True)
    assert "Target already exists" not in capsys.readouterr().out
    assert store.download(str(target), prefix="in/x") == 0, "what is there is skipped"
    assert store.download(str(target), prefix="in/x", overwrite=True, show_progress=False) == 2
    assert (target / "in/x/a.txt").read_text() == "changed"
    assert store.download(str(tmp_path / "part"), prefix="in/x/su", show_progress=False) == 1
    assert store.download(str(tmp_path / "one"), prefix="in/x/a.txt", show_progress=False) == 1
    assert store.download(str(tmp_path / "none"), prefix="other", show_progress=False) == 0
    assert (tmp_path / "one/in/x/a.txt").is_file()


def test_what_is_no_file_is_left_out_of_an_upload(store: Datastore, files: Path, capsys: Any) -> None:
    (files / "broken").symlink_to("nothing")
    (files / "elsewhere").symlink_to(files / "sub")
    os.mkfifo(files / "pipe")
    store.upload(str(files), "in", show_progress=False)
    assert store.list_files() == ["in/a.txt", "in/sub/b.txt"]
    told = capsys.readouterr().err
    assert all(f"{files}/{name}" in told for name in ("broken", "elsewhere", "pipe")) and "left out" in told


def test_upload_files_keeps_what_is_below_their_common_folder(store: Datastore, files: Path) -> None:
    both = [str(files / "a.txt"), str(files / "sub/b.txt")]
    store.upload_files(files=both, target_path="t", show_progress=False)
    store.upload_files([both[1]], target_path="single", show_progress=False)
    store.upload_files([both[1]], relative_root=str(files), target_path="rooted", overwrite=True, show_progress=False)
    assert store.list_files() == ["rooted/sub/b.txt", "single/b.txt", "t/a.txt", "t/sub/b.txt"]


def test_what_cannot_be_uploaded(store: Datastore, files: Path) -> None:
    with pytest.raises(UserErrorException, match="does not point to a file"):
        store.upload_files([str(files / "none.txt")])
    with pytest.raises(UserErrorException, match="there is no folder"):
        store.upload(str(files / "none"))
    with pytest.raises(UserErrorException, match="must be a list"):
        store.upload_files(str(files / "a.txt"))  # type: ignore[arg-type]
    with pytest.raises(UserErrorException, match="upwards"):
        store.upload(str(files), "../../outside")
    with pytest.raises(UserErrorException, match="not below relative_root"):
        store.upload_files([str(files / "a.txt")], relative_root=str(files / "sub"))
    assert store.list_files() == []


def test_a_registered_folder(workspace: Workspace, files: Path) -> None:
    mine = Datastore.register_fsspec(workspace, "mine", str(files))
    assert mine.datastore_type == "Folder" and mine.list_files() == ["a.txt", "sub/b.txt"]
    assert Datastore.register_fsspec(workspace, "mine", str(files)) == mine, "the same again is the same"
    with pytest.raises(UserErrorException, match=r"has a password in it.*password=…") as refused:
        Datastore.register_fsspec(workspace, "other", "sftp://me:s3cret@example.com/data")
    assert "s3cret" not in str(refused.value)
    with pytest.raises(UserErrorException, match=r"already exists.*overwrite=True"):
        Datastore.register_fsspec(workspace, "mine", str(files / "sub"))
    other = Datastore.register_fsspec(workspace, "mine", str(files / "sub"), overwrite=True)
    assert other.list_files() == ["b.txt"]
    other.set_as_default()
    assert Datastore.get_default(workspace).name == "mine" and Datastore(workspace).name == "mine"
    other.unregister()
    assert Datastore.get_default(workspace).name == "workspaceblobstore" and (files / "a.txt").exists()
    with pytest.raises(UserErrorException, match="is not a folder"):
        Datastore.register_fsspec(workspace, "gone", str(files / "gone"))


def test_a_container_of_azure_is_kept_and_its_key_is_kept_secret(workspace: Workspace) -> None:
    store = Datastore.register_azure_blob_container(
        workspace=workspace,
        datastore_name="taxi",
        container_name="data",
        account_name="account",
        account_key="c2VjcmV0",
        overwrite=True,
        create_if_not_exists=True,
    )
    assert isinstance(store, AzureBlobDatastore) and store.url == "abfs://data"
    assert (store.container_name, store.account_name, store.account_key) == ("data", "account", "c2VjcmV0")
    folder = Path(workspace.shared.datastores)
    assert "c2VjcmV0" not in (folder / "taxi.json").read_text() + repr(store)
    assert stat.S_IMODE(os.stat(folder / "taxi.secret").st_mode) == 0o600
    Datastore.register_azure_blob_container(workspace, "taxi", "data", "account", overwrite=True)
    assert not (folder / "taxi.secret").exists(), "it is public now"


def test_what_has_no_files_is_refused_with_a_way_out(workspace: Workspace) -> None:
    with pytest.raises(UserErrorException, match=r"Azure SQL databases are not offered: .*pandas\.read_sql"):
        Datastore.register_azure_sql_database(workspace, "sql", server_name="s", database_name="d")
    with pytest.raises(UserErrorException, match="file shares are not offered: mount the share"):
        Datastore.register_azure_file_share(workspace, "share", file_share_name="s", account_name="a")


def test_references(store: Datastore) -> None:
    whole, part = store.as_mount(), store.path("data/x")
    assert str(whole) == "$AZUREML_DATAREFERENCE_workspaceblobstore" == str(store.path())
    assert str(part).startswith("$AZUREML_DATAREFERENCE_") and str(part) != str(store.path("data/y"))
    assert str(store.path("a", data_reference_name="mine")) == "$AZUREML_DATAREFERENCE_mine"
    download = part.as_download("here", overwrite=True)
    assert (download.mode, download.path_on_compute, str(download)) == ("download", "here", str(part))
    config = download.to_config()
    assert (config.datastore_name, config.mode, config.path_on_datastore) == (
        "workspaceblobstore",
        "download",
        "data/x",
    )
    assert part.path("below").path_on_datastore == "data/x/below"
