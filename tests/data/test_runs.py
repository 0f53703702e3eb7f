"""Runs that have data: on the local target, and in containers."""

from __future__ import annotations

import json
import os
import shutil
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Submit, driver_log, wait_until
from toolkit import (
    ActivityFailedException,
    DataReference,
    Dataset,
    Environment,
    Experiment,
    OutputFileDatasetConfig,
    Run,
    ScriptRunConfig,
    Workspace,
)
from toolkit.agent import wake
from toolkit.data.datastore import Datastore

SHOW = """
import json, os, sys
def tree(path):
    if os.path.isfile(path):
        return [path]
    found = []
    for folder, _, names in os.walk(path):
        found += [os.path.join(folder, name) for name in names]
    return sorted(found)
print("SEEN", json.dumps([[path, {p[len(path):]: open(p).read() for p in tree(path)}] for path in sys.argv[1:]]))
"""


def seen(run: Run) -> list[tuple[str, dict[str, str]]]:
    """What a run of `SHOW` found at its arguments."""
    (line,) = [line for line in driver_log(run).splitlines() if line.startswith("SEEN ")]
    return [(path, found) for path, found in json.loads(line[5:])]


class DataOnTarget:
    """What holds on every target."""

    def options(self) -> dict[str, Any]:
        return {}

    @pytest.fixture(autouse=True)
    def _store(self, workspace: Workspace, tmp_path: Path, submit: Submit) -> None:
        """`data` in the default datastore, with a/1.txt, a/2.txt, b/1.txt."""
        for name in ("a/1.txt", "a/2.txt", "b/1.txt"):
            path = tmp_path / "data" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        self.workspace = workspace
        self.store = Datastore.get_default(workspace)
        self.store.upload(str(tmp_path / "data"), "data", show_progress=False)
        self.submit = submit

    def run(self, script: str, *arguments: object) -> Run:
        run = self.submit(script, arguments=list(arguments), **self.options())
        run.wait_for_completion(raise_on_error=False)
        assert run.status == "Completed", f"{run.get_details()['error']}\n{driver_log(run)}"
        return run

    def test_mounts_and_downloads(self, tmp_path: Path) -> None:
        whole = Dataset.File.from_files((self.store, "data"))
        some = Dataset.File.from_files([(self.store, "data/a/*.txt"), (self.store, "data/b")])
        one = Dataset.File.from_files((self.store, "data/a/1.txt"))
        here = Dataset.File.from_files(str(tmp_path / "data" / "a"))
        run = self.run(
            SHOW,
            whole.as_named_input("whole").as_mount(),
            whole.as_named_input("copy").as_download(),
            some.as_named_input("some").as_mount(),
            some.take(1).as_named_input("first").as_download(path_on_compute="in/first"),
            one.as_named_input("one").as_mount(),
            one.as_named_input("one_copy").as_download(),
            here.as_named_input("here").as_mount("in/here"),
            "$AZUREML_DATAREFERENCE_whole",
        )
        every = {"/a/1.txt": "a/1.txt", "/a/2.txt": "a/2.txt", "/b/1.txt": "b/1.txt"}
        mounted, copy, links, first, single, single_copy, folder, again = seen(run)
        assert mounted == (self.store.location.local("data"), every) == again, "a mount of one folder is the folder"
        assert copy[1] == every and copy[0] != mounted[0]
        assert links[1] == every
        assert first == (os.path.join(run.directory.work, "in/first"), {"/a/1.txt": "a/1.txt"})
        assert single == (self.store.location.local("data/a/1.txt"), {"": "a/1.txt"}), "one file is the file itself"
        assert single_copy[1] == {"": "a/1.txt"} and single_copy[0].endswith("/1.txt")
        assert folder == (os.path.join(run.directory.work, "in/here"), {"/1.txt": "a/1.txt", "/2.txt": "a/2.txt"})
        for path, _ in (copy, links, first, single_copy, folder):
            assert not os.path.lexists(path), "copies and links end with the run"
        assert (tmp_path / "data/a/1.txt").is_file() and len(whole.to_path()) == 3, "what they were made of does not"
        assert run.get_details()["inputDatasets"][0]["dataset"]["content"] == whole.content()

    def test_the_script_finds_its_inputs_by_name(self) -> None:
        whole = Dataset.File.from_files((self.store, "data")).register(self.workspace, "registered")
        run = self.run(
            """
            import os, sys
            from azureml.core import Dataset, Run
            run = Run.get_context()
            workspace = run.experiment.workspace
            assert run.input_datasets["mounted"] == sys.argv[1] == os.environ["AZUREML_DATAREFERENCE_mounted"]
            assert "mounted:mount" in os.environ["AZUREML_DATASET_ENVIRONMENT_VARS"].split(",")
            direct = run.input_datasets["direct"]
            assert (direct.name, direct.version, direct.id) == ("registered", 1, sys.argv[2]), direct
            assert direct.to_path() == Dataset.get_by_id(workspace, id=sys.argv[2]).to_path()
            assert sorted(open(path).read() for path in direct.download()) == ["a/1.txt", "a/2.txt", "b/1.txt"]
            with Dataset.get_by_name(workspace, "registered").mount() as context:
                assert sorted(os.listdir(context.mount_point)) == ["a", "b"]
            os.makedirs("up", exist_ok=True)
            open("up/new.txt", "w").write("new")
            workspace.get_default_datastore().upload("up", "from-the-run", show_progress=False)
            """,
            whole.as_named_input("mounted").as_mount(),
            whole.as_named_input("direct"),
        )
        assert Dataset.File.from_files((self.store, "from-the-run")).to_path() == ["/new.txt"]
        inputs = {entry["mode"]: entry for entry in run._definition()["data"]["inputs"].values()}
        assert inputs["direct"]["registered"] == {"name": "registered", "version": 1}

    def test_references_of_a_datastore(self) -> None:
        upload = DataReference(self.store, "up", "uploaded", mode="upload", path_on_compute="made")
        run = self.run(
            """
            import os, sys
            mounted, copied, made = sys.argv[1:]
            assert open(os.path.join(mounted, "a/1.txt")).read() == "a/1.txt"
            open(os.path.join(mounted, "written.txt"), "w").write("by the run")
            assert sorted(os.listdir(copied)) == ["1.txt"] and copied.endswith("work/copied"), copied
            open(os.path.join(made, "model.txt"), "w").write("model")
            """,
            self.store.path("data").as_mount(),
            self.store.path("data/b").as_download("copied"),
            upload,
        )
        assert run.status == "Completed"
        assert {"data/written.txt", "uploaded/model.txt"} < set(self.store.list_files())

    def test_an_output_is_registered_when_the_run_has_completed(self) -> None:
        output = OutputFileDatasetConfig(name="scores", destination=(self.store, "out/{run-id}/{output-name}"))
        table = output.read_delimited_files().register_on_complete("scores", "of a test", {"kind": "test"})
        default = OutputFileDatasetConfig("other").as_upload(source_globs=["*.txt"]).register_on_complete("other")
        script = """
            import os, sys
            from azureml.core import Run
            assert Run.get_context().output_datasets["scores"] == sys.argv[1]
            open(os.path.join(sys.argv[1], "s.csv"), "w").write("x,y\\n1,2\\n")
            open(os.path.join(sys.argv[2], "a.txt"), "w").write("a")
            open(os.path.join(sys.argv[2], "b.log"), "w").write("b")
        """
        run = self.run(script, table, default)
        made = Dataset.get_by_name(self.workspace, "scores")
        assert (made.version, made.description, made.tags) == (1, "of a test", {"kind": "test"})
        assert made.to_pandas_dataframe().to_dict("list") == {"x": [1], "y": [2]}
        assert made.definition["sources"][0]["path"] == f"out/{run.id}/scores"
        assert Dataset.get_by_name(self.workspace, "other").to_path() == ["/a.txt"]
        kept = {one["outputDetails"]["outputName"]: one["dataset"] for one in run.get_details()["outputDatasets"]}
        assert kept == {name: {"name": name, "version": 1} for name in ("scores", "other")}
        back = Dataset.get_by_name(self.workspace, "other").as_named_input("back").as_mount()
        assert seen(self.run(SHOW, back))[0][1] == {"/a.txt": "a"}


class TestLocal(DataOnTarget):
    @pytest.mark.parametrize("place", ["outputs", "train.py"])
    def test_an_input_takes_no_place_of_the_runs_own(self, place: str) -> None:
        whole = Dataset.File.from_files((self.store, "data")).as_named_input("x")
        run = self.submit("", arguments=[whole.as_download(path_on_compute=place)])
        run.wait_for_completion(raise_on_error=False)
        assert "is there already: use another path_on_compute" in str(run.get_details()["error"])

    def test_a_table_is_read_in_the_script(self, tmp_path: Path) -> None:
        (tmp_path / "t.csv").write_text("x,y\n1,a\n2,b\n3,c\n")
        self.store.upload_files([str(tmp_path / "t.csv")], target_path="tables", show_progress=False)
        table = Dataset.Tabular.from_delimited_files((self.store, "tables/t.csv"))
        run = self.run(
            """
            import sys
            from azureml.core import Run
            run = Run.get_context()
            frame = run.input_datasets["table"].to_pandas_dataframe()
            print("ROWS", frame["y"].tolist())
            """,
            "--id",
            table.filter(table["x"] > 1).keep_columns(["y"]).as_named_input("table"),
        )
        assert "ROWS ['b', 'c']" in driver_log(run)

    def test_an_output_of_a_run_that_failed_is_kept_and_not_registered(self) -> None:
        output = OutputFileDatasetConfig("made", (self.store, "failed")).as_upload().register_on_complete("failed")
        script = "import os, sys; open(os.path.join(sys.argv[1], 'a.txt'), 'w'); sys.exit(3)"
        run = self.submit(script, arguments=[output])
        with pytest.raises(ActivityFailedException, match="exited with code 3"):
            run.wait_for_completion()
        wait_until(lambda: run.get_status() == "Failed")
        assert self.store.list_files("failed") == ["failed/a.txt"]
        assert "failed" not in Dataset.get_all(self.workspace)

    def test_a_run_whose_output_cannot_be_kept_has_failed(self) -> None:
        output = OutputFileDatasetConfig("made", (self.store, "data/a"), source="made").as_upload()
        script = "import os; os.makedirs('made'); open('made/1.txt', 'w').write('another')"
        run = self.submit(script, arguments=["x", output])
        run.wait_for_completion(raise_on_error=False)
        wait_until(lambda: run.get_status() == "Failed")
        error = run.get_details()["error"]["error"]
        assert error["code"] == "OutputError"
        assert "'data/a/1.txt' is in the datastore already; as_upload(overwrite=True) replaces it" in error["message"]
        again = self.submit(script, arguments=["x", output.as_upload(overwrite=True)])
        again.wait_for_completion()
        assert Path(str(self.store.location.local("data/a/1.txt"))).read_text() == "another"

    def test_an_agent_that_is_ended_loses_no_output(self, tmp_path: Path) -> None:
        output = OutputFileDatasetConfig("made", (self.store, "kept")).as_upload().register_on_complete("kept")
        script = """
            import os, sys, time
            open(os.path.join(sys.argv[1], "a.txt"), "w").write("a")
            open("ready", "w")
            while not os.path.exists("go"):
                time.sleep(0.05)
        """
        run = self.submit(script, arguments=[output])
        wait_until(lambda: os.path.exists(os.path.join(run.directory.work, "ready")))
        wake.stop(self.workspace.paths)
        Path(run.directory.work, "go").touch()
        wait_until(lambda: os.path.exists(run.directory.exit))
        run.wait_for_completion()
        assert Dataset.get_by_name(self.workspace, "kept").to_path() == ["/a.txt"]

    def test_an_input_that_went_away_fails_the_run_with_its_reason(self) -> None:
        gone = Dataset.File.from_files((self.store, "nothing/**"), validate=False)
        run = self.submit("", arguments=[gone.as_named_input("gone").as_mount()])
        run.wait_for_completion(raise_on_error=False)
        assert "the input has no files: there is nothing at nothing/**" in str(run.get_details()["error"])

    def test_the_tutorials_fourth_part(self, tmp_path: Path, data: Path) -> None:
        """Bring your own data: CIFAR-10 is uploaded, and the training finds it by its argument."""
        source = tmp_path / "cifar"
        for file in sorted(next(iter((data / "cifar10").rglob("*_batch*"))).parent.iterdir())[:3]:
            source.mkdir(exist_ok=True)
            shutil.copy(file, source)
        training = tmp_path / "src"
        training.mkdir()
        (training / "train.py").write_text(
            textwrap.dedent(
                """
                import argparse, os
                from azureml.core import Run
                run = Run.get_context()
                parser = argparse.ArgumentParser()
                parser.add_argument("--data_path", type=str, help="Path to the training data")
                parser.add_argument("--learning_rate", type=float, default=0.001)
                args = parser.parse_args()
                print("===== DATA =====")
                print("DATA PATH: " + args.data_path)
                print("LIST FILES IN DATA PATH...", sorted(os.listdir(args.data_path)))
                for name in sorted(os.listdir(args.data_path)):
                    run.log("bytes", os.path.getsize(os.path.join(args.data_path, name)))
                """
            )
        )
        datastore = self.workspace.get_default_datastore()
        datastore.upload(src_dir=str(source), target_path="datasets/cifar10", overwrite=True, show_progress=False)
        dataset = Dataset.File.from_files(path=(datastore, "datasets/cifar10"))
        config = ScriptRunConfig(
            source_directory=str(training),
            script="train.py",
            arguments=["--data_path", dataset.as_named_input("input").as_mount(), "--learning_rate", 0.003],
        )
        run = Experiment(workspace=self.workspace, name="day1-experiment-data").submit(config)
        run.wait_for_completion()
        sizes = [os.path.getsize(file) for file in sorted(source.iterdir())]
        assert len(sizes) == 3 and run.get_metrics()["bytes"] == sizes


class TestDocker(DataOnTarget):
    @pytest.fixture(autouse=True)
    def _base(self, python_base_image: str, _store: None) -> None:
        self.workspace.paths.configuration.write_text(
            "compute_targets:\n  docker: {type: docker, slots: 1}\ncancel_grace_seconds: 1\n"
        )
        self.base = python_base_image

    def options(self) -> dict[str, Any]:
        return {"compute_target": "docker", "environment": Environment.from_docker_image("base", self.base)}

    def test_a_mounted_folder_of_this_machine_cannot_be_changed(self, tmp_path: Path) -> None:
        here = Dataset.File.from_files(str(tmp_path / "data"))
        self.run(
            """
            import os, sys
            try:
                open(os.path.join(sys.argv[1], "new.txt"), "w")
            except OSError as error:
                print("refused", error)
            else:
                sys.exit("it could be written")
            """,
            here.as_named_input("here").as_mount(),
        )
        assert not (tmp_path / "data/new.txt").exists()

    def test_a_datastore_that_is_a_folder_elsewhere(self, tmp_path: Path) -> None:
        store = Datastore.register_fsspec(self.workspace, "mine", str(tmp_path / "data"))
        output = OutputFileDatasetConfig("made", (store, "made/{output-name}"))
        self.run("import os, sys; open(os.path.join(sys.argv[1], 'x'), 'w').write('x')", output)
        assert (tmp_path / "data/made/made/x").read_text() == "x"
