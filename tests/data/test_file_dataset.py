"""File data sets, before any run has them."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path

import pytest

from toolkit import DataPath, Dataset, UserErrorException, Workspace
from toolkit.data.datastore import Datastore
from toolkit.data.errors import DatasetValidationError


@pytest.fixture
def store(workspace: Workspace, tmp_path: Path) -> Datastore:
    """The default datastore, with cats/1.png, cats/2.png, dogs/1.png and readme.txt in `pets`."""
    for name in ("cats/1.png", "cats/2.png", "dogs/1.png", "readme.txt"):
        path = tmp_path / "pets" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    store = Datastore.get_default(workspace)
    store.upload(str(tmp_path / "pets"), "pets", show_progress=False)
    return store


def test_paths_are_relative_to_what_the_sources_have_in_common(store: Datastore) -> None:
    whole = ["/cats/1.png", "/cats/2.png", "/dogs/1.png", "/readme.txt"]
    assert Dataset.File.from_files((store, "pets")).to_path() == whole
    assert Dataset.File.from_files(path=(store, "pets/")).to_path() == whole
    assert Dataset.File.from_files(DataPath(store, "pets")).to_path() == whole
    assert Dataset.File.from_files(store.path("pets")).to_path() == whole
    assert Dataset.File.from_files((store, "pets/**/*.png")).to_path() == whole[:3]
    assert Dataset.File.from_files((store, "pets/cats/*")).to_path() == ["/1.png", "/2.png"]
    assert Dataset.File.from_files((store, "pets/c*")).to_path() == whole[:2], "a glob of a folder is what is in it"
    assert Dataset.File.from_files((store, "pets/readme.txt")).to_path() == ["/readme.txt"]
    two = [(store, "pets/cats/1.png"), (store, "pets/dogs/**")]
    assert Dataset.File.from_files(two).to_path() == ["/cats/1.png", "/dogs/1.png"]
    assert Dataset.File.from_files((store, ["pets/cats", "pets/cats/*.png"])).to_path() == ["/1.png", "/2.png"]


def test_what_is_not_there_is_refused_unless_it_may_come(store: Datastore) -> None:
    with pytest.raises(DatasetValidationError, match=r"Cannot load any data.*\('workspaceblobstore', 'none/\*\*'\)"):
        Dataset.File.from_files((store, "none/**"))
    assert Dataset.File.from_files((store, "none/**"), validate=False).to_path() == []
    for path in ([], 7, (store, "../secrets")):
        with pytest.raises(UserErrorException):
            Dataset.File.from_files(path)


def test_a_folder_of_this_machine(tmp_path: Path, store: Datastore) -> None:
    assert Dataset.File.from_files(str(tmp_path / "pets/cats")).to_path() == ["/1.png", "/2.png"]
    linked = tmp_path / "linked"
    linked.mkdir()
    (linked / "here").symlink_to(tmp_path / "pets", target_is_directory=True)
    (linked / "here/cats/loop").symlink_to(tmp_path / "pets", target_is_directory=True)
    assert Dataset.File.from_files(linked).to_path()[-1] == "/here/readme.txt", "links are followed, and not for ever"


def test_download(store: Datastore, tmp_path: Path) -> None:
    pets = Dataset.File.from_files((store, "pets"))
    target = tmp_path / "copy"
    paths = pets.download(target_path=str(target), overwrite=False)
    assert [Path(path).read_text() for path in paths] == ["cats/1.png", "cats/2.png", "dogs/1.png", "readme.txt"]
    assert paths[0] == str(target / "cats/1.png")
    (target / "readme.txt").write_text("mine")
    with pytest.raises(UserErrorException, match="4 of its files exist already"):
        pets.download(str(target))
    pets.download(str(target), overwrite=True)
    assert (target / "readme.txt").read_text() == "readme.txt"
    assert os.path.isdir(os.path.dirname(pets.download()[0])), "by default a new folder"


def test_mount_is_a_folder_of_links(store: Datastore, tmp_path: Path) -> None:
    pets = Dataset.File.from_files((store, "pets/**/*.png"))
    with pets.mount() as mounted:
        assert sorted(os.listdir(mounted.mount_point)) == ["cats", "dogs"]
        link = Path(mounted.mount_point, "cats/1.png")
        assert link.is_symlink() and link.read_text() == "cats/1.png"
    assert not os.path.exists(mounted.mount_point)
    context = pets.mount(str(tmp_path / "point"))
    context.start()
    assert (tmp_path / "point/dogs/1.png").read_text() == "dogs/1.png"
    context.stop()
    assert not (tmp_path / "point/dogs/1.png").exists() and pets.to_path()


def test_some_of_the_files(store: Datastore) -> None:
    pets = Dataset.File.from_files((store, "pets"))
    every = pets.to_path()
    assert pets.take(2).to_path() == every[:2] and pets.skip(3).to_path() == every[3:]
    assert pets.skip(1).take(1).to_path() == every[1:2]
    first, second = pets.random_split(percentage=0.5, seed=7)
    assert sorted(first.to_path() + second.to_path()) == sorted(every)
    assert pets.random_split(0.5, seed=7)[0].to_path() == first.to_path()
    one, other = pets.random_split(0.5)
    assert sorted(one.to_path() + other.to_path()) == sorted(every), "without a seed they are still two parts of one"
    assert pets.filter(pets.file_metadata("Size") > 10).to_path() == []
    assert len(pets.filter(pets.file_metadata("FileName").ends_with(".txt")).to_path()) == 1
    labelled = Dataset.File.from_files((store, "pets/*/*.png"), partition_format="/{label}/*.png")
    assert labelled.partition_keys == ["label"]
    assert labelled.get_partition_key_values() == [{"label": "cats"}, {"label": "dogs"}]
    assert labelled.filter(labelled["label"] == "dogs").to_path() == ["/dogs/1.png"]
    cats = Dataset.File.from_files((store, "pets/cats/*.png"), partition_format="/{label}/*.png")
    assert cats.get_partition_key_values() == [{"label": "cats"}], "though the folder is in no name"
    assert cats.filter(cats["label"] == "cats").to_path() == ["/1.png", "/2.png"]
    hour = datetime.timedelta(hours=1)
    for now in (datetime.datetime.now(datetime.timezone.utc), datetime.datetime.now(datetime.timezone(5 * hour))):
        assert cats.filter(cats.file_metadata("LastModifiedTime") > now - hour).to_path() == cats.to_path()
        assert cats.filter(cats.file_metadata("LastModifiedTime") > now + hour).to_path() == []


def test_upload_directory(workspace: Workspace, tmp_path: Path, store: Datastore) -> None:
    made = Dataset.File.upload_directory(
        src_dir=str(tmp_path / "pets"), target=(store, "up"), pattern="**/*.png", show_progress=False
    )
    assert made.to_path() == ["/cats/1.png", "/cats/2.png", "/dogs/1.png"]
    assert Dataset.File.upload_directory(str(tmp_path / "pets"), DataPath(store, "all")).to_path()[-1] == "/readme.txt"
    (tmp_path / "pets/.hidden").write_text("")
    hidden = Dataset.File.upload_directory(str(tmp_path / "pets"), (store, "hidden"), "./.hid*", show_progress=False)
    assert hidden.to_path() == ["/.hidden"]
    with pytest.raises(UserErrorException, match="upwards"):
        Dataset.File.upload_directory(str(tmp_path / "pets"), (store, "up"), pattern="../*", show_progress=False)


def test_when_it_was_changed(store: Datastore) -> None:
    changed = Dataset.File.from_files((store, "pets")).data_changed_time
    assert changed is not None and abs(changed.timestamp() - time.time()) < 600
