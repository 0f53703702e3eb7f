"""What a run configuration says of data, as a run's definition has it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from toolkit import Dataset, Experiment, OutputFileDatasetConfig, ScriptRunConfig, UserErrorException, Workspace
from toolkit.binding import bind
from toolkit.data.data_reference import Data, DataLocation, DataReference
from toolkit.data.data_reference import Dataset as RunDataset
from toolkit.data.datastore import Datastore
from toolkit.data.errors import MissingPackage
from toolkit.data.file_dataset import FileDataset


@pytest.fixture
def store(workspace: Workspace, tmp_path: Path) -> Datastore:
    (tmp_path / "files").mkdir()
    (tmp_path / "files/a.txt").write_text("a")
    store = Datastore.get_default(workspace)
    store.upload(str(tmp_path / "files"), "files", show_progress=False)
    return store


@pytest.fixture
def dataset(store: Datastore) -> FileDataset:
    return Dataset.File.from_files((store, "files"))


def config(*arguments: object, **options: Any) -> ScriptRunConfig:
    return ScriptRunConfig(".", "train.py", list(arguments), **options)


def test_without_data_nothing_is_recorded(workspace: Workspace) -> None:
    bound = bind(workspace, config("--lr", 0.1, True, Path("x")))
    assert bound.arguments == ["--lr", "0.1", "True", "x"] and bound.record == {}


def test_data_in_arguments_is_a_variable(workspace: Workspace, dataset: FileDataset, store: Datastore) -> None:
    output = OutputFileDatasetConfig("made", (store, "made"))
    reference = store.path("files", data_reference_name="ref")
    bound = bind(workspace, config("--in", dataset.as_named_input("input").as_mount(), reference, output))
    prefix = "$AZUREML_DATAREFERENCE_"
    assert bound.arguments == ["--in", prefix + "input", prefix + "ref", prefix + "made"]
    entry = bound.record["inputs"]["input"]
    assert entry["mode"] == "mount" and entry["id"] == dataset.id and entry["content"] == dataset.content()
    assert bound.record["inputs"]["ref"]["writable"] and bound.record["outputs"]["made"]["path"] == "made"
    assert bind(workspace, config(dataset.as_mount(), dataset.as_mount())).arguments[0].startswith(prefix + "input_")


def test_a_command_takes_data_too(workspace: Workspace, dataset: FileDataset) -> None:
    command = ["python train.py --in", dataset.as_named_input("input").as_download()]
    bound = bind(workspace, ScriptRunConfig(".", command=command))  # type: ignore[arg-type]
    assert bound.command == ["python train.py --in", "$AZUREML_DATAREFERENCE_input"]


@pytest.mark.parametrize("bare", [lambda d: d, lambda d: Datastore.get_default(d.workspace), lambda d: [1]])
def test_what_cannot_be_an_argument(workspace: Workspace, dataset: FileDataset, bare: Any) -> None:
    with pytest.raises(UserErrorException, match="the argument"):
        bind(workspace, config(bare(dataset)))


def test_a_bare_data_set_is_told_how_it_is_passed(workspace: Workspace, dataset: FileDataset) -> None:
    with pytest.raises(UserErrorException, match=r"as_named_input\('name'\)\.as_mount\(\)"):
        bind(workspace, config(dataset))


def test_a_run_configuration_names_data(workspace: Workspace, dataset: FileDataset, store: Datastore) -> None:
    made = config()
    reference = DataReference(store, "ref", "files", mode="download", path_on_compute="here")
    made.run_config.data_references = {"ref": reference.to_config()}
    made.run_config.data = {
        "one": Data(
            DataLocation(RunDataset(dataset_id=dataset.id)), mechanism="mount", environment_variable_name="ONE"
        ),
        "two": dataset.as_named_input("two").as_mount(),
    }
    made.run_config.output_data = {"out": OutputFileDatasetConfig("out")}
    record = bind(workspace, made).record
    assert {name: entry["mode"] for name, entry in record["inputs"].items()} == {
        "one": "mount",
        "two": "mount",
        "ref": "download",
    }
    assert record["inputs"]["one"]["variable"] == "ONE" and record["inputs"]["ref"]["path_on_compute"] == "here"
    assert record["outputs"]["out"]["path"] == "dataset/{run-id}/{output-name}"


def test_one_name_is_one_input(workspace: Workspace, dataset: FileDataset, store: Datastore) -> None:
    same = dataset.as_named_input("x").as_mount()
    assert len(bind(workspace, config(same, same)).record["inputs"]) == 1
    with pytest.raises(UserErrorException, match="two inputs or outputs of the name 'x'"):
        bind(workspace, config(same, dataset.take(1).as_named_input("x").as_mount()))
    with pytest.raises(UserErrorException, match="two inputs or outputs of the name 'x'"):
        bind(workspace, config(same, OutputFileDatasetConfig("x")))
    for name in ("a b", "1a", "", "a-b"):
        with pytest.raises(UserErrorException, match="Invalid name"):
            dataset.as_named_input(name)


def test_changed_files_of_a_registered_version_are_said(
    workspace: Workspace, dataset: FileDataset, store: Datastore, capsys: Any
) -> None:
    registered = dataset.register(workspace, "said")
    bind(workspace, config(registered.as_named_input("x").as_mount()))
    assert capsys.readouterr().err == ""
    path = store.location.local("files/a.txt")
    assert path is not None
    Path(path).write_text("changed")
    record = bind(workspace, config(registered.as_named_input("x").as_mount())).record
    said = capsys.readouterr().err
    assert "the files of the dataset 'said' have changed since version 1 was registered" in said
    assert record["inputs"]["x"]["registered"] == {"name": "said", "version": 1}


def test_an_absolute_path_on_compute_is_said(workspace: Workspace, dataset: FileDataset, capsys: Any) -> None:
    bind(workspace, config(dataset.as_named_input("x").as_mount(path_on_compute="/data/x")))
    assert "path_on_compute of 'x' is absolute (/data/x)" in capsys.readouterr().err
    with pytest.raises(UserErrorException, match="upwards"):
        bind(workspace, config(dataset.as_named_input("x").as_mount(path_on_compute="../x")))


def test_data_of_another_workspace_is_refused(workspace: Workspace, dataset: FileDataset) -> None:
    with pytest.raises(UserErrorException, match="is of the workspace 'test'"):
        bind(Workspace.create("other"), config(dataset.as_named_input("x").as_mount()))


def test_an_output_of_another_run(workspace: Workspace, dataset: FileDataset, store: Datastore) -> None:
    fixed = OutputFileDatasetConfig("fixed", (store, "files"))
    record = bind(workspace, config(fixed.as_input("x"))).record
    assert record["inputs"]["x"]["files"]["sources"] == [{"root": store.location.local(""), "path": "files"}]
    with pytest.raises(UserErrorException, match="depends on that run"):
        bind(workspace, config(OutputFileDatasetConfig("own").as_input("x")))


def test_nothing_is_written_where_something_is_wrong(
    workspace: Workspace, dataset: FileDataset, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("")
    with pytest.raises(UserErrorException):
        Experiment(workspace, "e").submit(ScriptRunConfig(str(tmp_path), "train.py", [dataset]))
    assert list(workspace.paths.runs.iterdir()) == []


def test_a_table_that_only_the_script_can_read_is_bound(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adlfs", None)
    store = Datastore.register_azure_blob_container(workspace, "blob", "container", "account")
    table = Dataset.Tabular.from_delimited_files((store, "t.csv"), validate=False)
    record = bind(workspace, config(table.as_named_input("t"))).record
    assert record["inputs"]["t"]["id"] == table.id
    files = Dataset.File.from_files((store, "t.csv"), validate=False)
    with pytest.raises(MissingPackage, match="adlfs"):
        bind(workspace, config(files.as_named_input("t").as_mount()))
