"""Registering data sets: versions, ids, content."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from toolkit import Dataset, UserErrorException, Workspace
from toolkit.data.content import content_of
from toolkit.data.datastore import Datastore
from toolkit.data.file_dataset import FileDataset


def files(workspace: Workspace, tmp_path: Path, path: str, **contents: str) -> FileDataset:
    folder = tmp_path / "files"
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_text(content)
    store = Datastore.get_default(workspace)
    store.upload(str(folder), path, overwrite=True, show_progress=False)
    return Dataset.File.from_files((store, path))


def test_versions(workspace: Workspace, tmp_path: Path) -> None:
    made = files(workspace, tmp_path, "one", a="1").register(
        workspace=workspace, name="my data", description="first", tags={"format": "txt"}
    )
    assert (made.name, made.version, made.description, made.tags) == ("my data", 1, "first", {"format": "txt"})
    again = files(workspace, tmp_path, "one", a="1").register(workspace, "my data", create_new_version=True)
    assert again.version == 1 and again.tags == {"format": "txt"}, "the same is the same version"

    other = files(workspace, tmp_path, "two", b="2")
    with pytest.raises(
        UserErrorException, match=r'already a dataset registered under name "my data".*create_new_version'
    ):
        other.register(workspace, "my data")
    assert other.register(workspace, "my data", create_new_version=True).version == 2
    assert Dataset.get_by_name(workspace, "my data").version == 2
    assert Dataset.get_by_name(workspace, name="my data", version=1).to_path() == ["/a"]
    assert Dataset.get_by_name(workspace, "my data", version="latest").to_path() == ["/a", "/b"]
    assert {name: one.version for name, one in Dataset.get_all(workspace).items()} == {"my data": 2}
    for version in (3, 0, "x"):
        with pytest.raises(UserErrorException, match="Cannot find dataset registered with name"):
            Dataset.get_by_name(workspace, "my data", version=version)
    with pytest.raises(
        UserErrorException, match=r'Cannot find dataset registered with name "none".*the names are: my data'
    ):
        Dataset.get_by_name(workspace, "none")


def test_changed_files_are_a_new_version_when_that_is_asked_for(workspace: Workspace, tmp_path: Path) -> None:
    made = files(workspace, tmp_path, "one", a="1").register(workspace, "data")
    changed = files(workspace, tmp_path, "one", a="22")
    assert changed.id == made.id, "the definition is the same"
    assert changed.register(workspace, "data").version == 1
    assert changed.register(workspace, "data", create_new_version=True).version == 2


def test_that_files_have_changed_is_said(workspace: Workspace, tmp_path: Path, capsys: Any) -> None:
    files(workspace, tmp_path, "one", a="1").register(workspace, "said")
    files(workspace, tmp_path, "one", a="22").register(workspace, "said")
    assert "the files of the dataset 'said' have changed since version 1" in capsys.readouterr().err


def test_content_is_of_bytes_and_names(workspace: Workspace, tmp_path: Path) -> None:
    first = files(workspace, tmp_path, "one", a="1", b="2")
    same = files(workspace, tmp_path, "two", a="1", b="2")
    assert first.content() == same.content() != files(workspace, tmp_path, "two", a="1", b="3").content()
    assert first.content().startswith("sha256:")
    assert first.take(1).content() == first.content(), "of the files that it takes from"


def test_too_much_to_read_goes_by_its_listing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = files(workspace, tmp_path, "one", a="1")
    monkeypatch.setattr("toolkit.data.content.READ_BYTES", 0)
    assert content_of(made.definition, workspace.shared).startswith("listing:")


def test_ids(workspace: Workspace, tmp_path: Path) -> None:
    made = files(workspace, tmp_path, "one", a="1")
    found = Dataset.get_by_id(workspace, id=made.id)
    assert found.to_path() == ["/a"] and found.id == made.id and found.name is None
    made.register(workspace, "named")
    assert Dataset.get_by_id(workspace, made.id).name == "named"
    for wrong in ("00000000-0000-0000-0000-000000000000", "../../x", ""):
        with pytest.raises(UserErrorException, match="Cannot find dataset with id"):
            Dataset.get_by_id(workspace, wrong)


def test_tags_and_unregistering(workspace: Workspace, tmp_path: Path) -> None:
    made = files(workspace, tmp_path, "one", a="1")
    with pytest.raises(UserErrorException, match="not registered"):
        made.add_tags({"a": "1"})
    made = made.register(workspace, "named")
    made.add_tags({"a": "1", "b": 2})  # type: ignore[dict-item]
    made.remove_tags(["a"])
    made.update(description="text")
    found = Dataset.get_by_name(workspace, "named")
    assert found.tags == {"b": "2"} and found.description == "text"
    found.unregister_all_versions()
    assert Dataset.get_all(workspace) == {} and Dataset.get_by_id(workspace, made.id).to_path() == ["/a"]


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", "per%cent", "ünicode (1)", "with space"])
def test_any_name_can_be_registered(workspace: Workspace, tmp_path: Path, name: str) -> None:
    files(workspace, tmp_path, "one", a="1").register(workspace, name)
    assert list(Dataset.get_all(workspace)) == [name] and Dataset.get_by_name(workspace, name).version == 1
    registered = Path(workspace.shared.datasets, "registered")
    assert [entry.name for entry in registered.iterdir()] and not (registered.parent.parent / "1.json").exists()


def test_a_data_set_stays_in_its_workspace(workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace.create("other")
    with pytest.raises(UserErrorException, match="lies in the workspace 'test'"):
        files(workspace, tmp_path, "one", a="1").register(other, "x")


def test_files_of_one_name_in_two_datastores_each_count(workspace: Workspace, tmp_path: Path) -> None:
    stores = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text(name)
        os.utime(tmp_path / name / "a.csv", (1, 1))  # long settled: the hashes of its bytes are kept
        stores.append(Datastore.register_fsspec(workspace, name, str(tmp_path / name)))
    made = Dataset.File.from_files([(store, "a.csv") for store in stores])
    assert made.content() == made.content()
    before = made.content()
    (tmp_path / "one" / "a.csv").write_text("ONE")
    os.utime(tmp_path / "two" / "a.csv", (2, 2))  # so both are read anew
    assert made.content() != before


def test_a_name_whose_first_version_was_never_written_is_none(workspace: Workspace, tmp_path: Path) -> None:
    files(workspace, tmp_path, "one", a="1").register(workspace, "data")
    (Path(workspace.shared.datasets) / "registered" / "half").mkdir()
    assert [*Dataset.get_all(workspace)] == ["data"]
    with pytest.raises(UserErrorException, match="too long"):
        files(workspace, tmp_path, "one", a="1").register(workspace, "数" * 100)
