"""`Model` in a control script: registered, found, changed, fetched, deleted; MLflow's registry is what keeps it."""

from __future__ import annotations

import datetime
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Submit
from toolkit import Workspace
from toolkit.agent.models import client_of
from toolkit.data.dataset import Dataset
from toolkit.errors import ModelNotFoundException, NotOffered, UserErrorException, WebserviceException
from toolkit.inscript.model import Model
from toolkit.inscript.sdk_v1 import ResourceConfiguration

if TYPE_CHECKING:
    from toolkit import Run

pytestmark = pytest.mark.shared_home


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with something to register: `net.pkl` and `net/`."""
    here = tmp_path / "here"
    (here / "net" / "deep").mkdir(parents=True)
    (here / "net.pkl").write_text("weights")
    (here / "net" / "weights.bin").write_text("w")
    (here / "net" / "deep" / "labels.txt").write_text("cat dog")
    monkeypatch.chdir(here)
    return here


class TestModel:
    def test_registered_file_reads_back_as_it_was_given(self, workspace: Workspace, folder: Path) -> None:
        before = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(seconds=1)
        made = Model.register(
            workspace=workspace,
            model_path="net.pkl",
            model_name="whole",
            tags={"area": "vision", "count": 3, "odd key: 100%": "x", "toolkit.mine": "y", "none": None},
            properties={"area": "of a property", "p": 2},
            description="finds cats",
            model_framework=Model.Framework.SCIKITLEARN,
            model_framework_version="0.20.3",
            resource_configuration=ResourceConfiguration(cpu=1, memory_in_gb=0.5),
        )
        found = Model(workspace, "whole")
        for model in (made, found):
            assert (model.name, model.version, model.id) == ("whole", 1, "whole:1")
            assert model.tags == {
                "area": "vision", "count": "3", "odd key: 100%": "x", "toolkit.mine": "y", "none": "",
            }  # fmt: skip
            assert model.properties == {"area": "of a property", "p": "2"}
            assert model.description == "finds cats"
            assert (model.model_framework, model.model_framework_version) == ("ScikitLearn", "0.20.3")
            assert before < model.created_time <= datetime.datetime.now(datetime.timezone.utc)
            assert model.run_id is None and model.run is None and model.experiment_name is None
            assert model.resource_configuration is not None and model.resource_configuration.memory_in_gb == 0.5
            assert model.url == "models:/whole/1" and not model.unpack
        kept = json.loads(json.dumps(found.serialize()))
        assert (kept["id"], kept["workspaceName"], kept["tags"]["area"]) == ("whole:1", "test", "vision")
        assert Model.deserialize(workspace, kept).id == "whole:1"

    def test_versions_count_and_the_files_stay_as_they_were(self, workspace: Workspace, folder: Path) -> None:
        assert Model.register(workspace, "net.pkl", "counted").version == 1
        (folder / "net.pkl").write_text("better weights")
        assert Model.register(workspace, "net.pkl", "counted").version == 2
        assert Model(workspace, "counted").version == 2
        assert Model(workspace, "counted", version=1).id == "counted:1"
        assert Model(workspace, id="counted:2").version == 2
        assert Path(Model(workspace, "counted", version=1).download("one")).read_text() == "weights"
        assert Path(Model(workspace, "counted").download("two")).read_text() == "better weights"

    def test_folder_is_one_model_and_downloads_under_its_own_name(self, workspace: Workspace, folder: Path) -> None:
        model = Model.register(workspace, "./net/", "folder")
        assert model.unpack
        got = Path(model.download(target_dir="got"))
        assert got == Path("got/net")
        assert (got / "weights.bin").read_text() == "w" and (got / "deep" / "labels.txt").read_text() == "cat dog"
        part = Model.register(workspace, "net", "part", child_paths=["deep/labels.txt"])
        chosen = Path(part.download("chosen"))
        assert [file for file in chosen.rglob("*") if file.is_file()] == [chosen / "deep" / "labels.txt"]

    def test_download_overwrites_only_when_told(self, workspace: Workspace, folder: Path) -> None:
        model = Model.register(workspace, "net", "there")
        model.download("got")
        (folder / "got" / "net" / "mine.txt").write_text("x")
        with pytest.raises(
            WebserviceException, match=r"File already exists. To overwrite, set exist_ok to True. got/net"
        ):
            model.download("got")
        model.download("got", exist_ok=True)
        assert sorted(os.listdir("got/net")) == ["deep", "weights.bin"]
        assert os.listdir("got") == ["net"]

    def test_get_model_path_is_fetched_once_to_where_scripts_look(self, workspace: Workspace, folder: Path) -> None:
        Model.register(workspace, "net.pkl", "pathed")
        Model.register(workspace, "net.pkl", "pathed")
        path = Path(Model.get_model_path("pathed", _workspace=workspace))
        assert path == folder / "azureml-models" / "pathed" / "2" / "net.pkl"
        path.write_text("touched")
        assert Path(Model.get_model_path("pathed", _workspace=workspace)).read_text() == "touched"
        (folder / "azureml-models" / "pathed" / ".2").write_text("fetched from another workspace")
        assert Path(Model.get_model_path("pathed", _workspace=workspace)).read_text() == "weights"
        assert Path(Model.get_model_path("pathed", _workspace=workspace)).parent.name == "2"
        assert Path(Model.get_model_path("pathed", 1, workspace)).read_text() == "weights"
        assert Model.get_model_path("pathed") == "azureml-models/pathed/2/net.pkl"  # with no workspace at all
        with pytest.raises(ModelNotFoundException, match=r"ModelNotFound: Model with name none .*_workspace"):
            Model.get_model_path("none")
        with pytest.raises(ModelNotFoundException, match="ModelNotFound: Model with name none not found in provided"):
            Model.get_model_path("none", _workspace=workspace)

    def test_filters(self, workspace: Workspace, folder: Path) -> None:
        first = Model.register(workspace, "net.pkl", "f-a", tags={"kind": "x", "set": "1"}, properties={"p": "1"})
        second = Model.register(workspace, "net.pkl", "f-a", tags={"kind": "y"}, model_framework="Custom")
        third = Model.register(workspace, "net.pkl", "f-b", tags={"kind": "x"})
        ours = [first.id, second.id, third.id]

        def ids(**filters: object) -> list[str]:
            return [model.id for model in Model.list(workspace, **filters) if model.id in ours]  # type: ignore[arg-type]

        assert ids() == [third.id, second.id, first.id]
        assert ids(latest=True) == [third.id, second.id]
        assert ids(name="f-a") == [second.id, first.id]
        assert ids(tags=["kind"]) == [third.id, second.id, first.id]
        assert ids(tags=[["kind", "x"]]) == [third.id, first.id]
        assert ids(tags=[["kind", "x"], "set"]) == [first.id]
        assert ids(tags={"kind": "y"}) == [second.id]
        assert ids(properties=[["p", "1"]]) == [first.id]
        assert ids(model_framework="Custom") == [second.id]
        assert Model(workspace, "f-a", tags=[["kind", "x"]]).id == first.id
        assert Model.list(workspace, name="f-c") == []

    def test_tags_change_and_properties_never(self, workspace: Workspace, folder: Path) -> None:
        model = Model.register(workspace, "net.pkl", "changed", tags={"a": "1", "b": "2"}, properties={"p": "1"})
        model.add_tags({"a": "3", "odd?": "q"})
        model.remove_tags(["b"])
        model.add_properties({"q": 2})
        assert model.tags == Model(workspace, "changed").tags == {"a": "3", "odd?": "q"}
        assert model.properties == Model(workspace, "changed").properties == {"p": "1", "q": "2"}
        with pytest.raises(UserErrorException, match="'p' of the model changed:1 is '1' and cannot become '2'"):
            model.add_properties({"r": 1, "p": 2})
        assert "r" not in Model(workspace, "changed").properties
        model.update(tags={"only": "this"}, description="new")
        again = Model(workspace, "changed")
        assert (again.tags, again.description, again.properties) == ({"only": "this"}, "new", {"p": "1", "q": "2"})
        model.update_tags_properties(add_tags={"x": "1"}, remove_tags=["only"])
        assert Model(workspace, "changed").tags == {"x": "1"}

    def test_deleted_version_is_gone_and_the_others_stay(self, workspace: Workspace, folder: Path) -> None:
        first = Model.register(workspace, "net.pkl", "deleted")
        Model.register(workspace, "net.pkl", "deleted").delete()
        assert [model.id for model in Model.list(workspace, name="deleted")] == ["deleted:1"]
        first.delete()
        first.delete()
        with pytest.raises(ModelNotFoundException, match="Model with name deleted not found in provided workspace"):
            Model(workspace, "deleted")

    def test_what_cannot_work_says_so_in_the_words_of_v1(self, workspace: Workspace, folder: Path) -> None:
        with pytest.raises(
            WebserviceException, match=r"^ModelNotFound: Model with name absent not found in provided works"
        ):
            Model(workspace, "absent")
        with pytest.raises(ModelNotFoundException, match="Model with name absent, version 3 not found"):
            Model(workspace, name="absent", version=3)
        with pytest.raises(ModelNotFoundException, match="Model with id absent:1 not found"):
            Model(workspace, id="absent:1")
        with pytest.raises(WebserviceException, match="one of id or name must be provided"):
            Model(workspace)
        with pytest.raises(WebserviceException, match=r'provided model path "absent.pkl" cannot be found'):
            Model.register(workspace, "absent.pkl", "m")
        with pytest.raises(WebserviceException, match=r'the folder "net" has no "../net.pkl"'):
            Model.register(workspace, "net", "m", child_paths=["../net.pkl"])
        with pytest.raises(WebserviceException, match="tags must be a dictionary"):
            Model.register(workspace, "net", "m", tags=["a"])  # type: ignore[arg-type]
        with pytest.raises(UserErrorException, match="MLflow refuses to register the model 'a/b'"):
            Model.register(workspace, "net.pkl", "a/b")
        for name in (None, "", 5, "x" * 300):
            with pytest.raises(UserErrorException, match="cannot be the name of a model"):
                Model.register(workspace, "net.pkl", name)  # type: ignore[arg-type]
        assert not [model for model in Model.list(workspace) if model.name in ("m", "a/b")]

    def test_deploy_package_and_profile_say_what_to_do_instead(self, workspace: Workspace, folder: Path) -> None:
        model = Model.register(workspace, "net.pkl", "served")
        for call in (
            lambda: Model.deploy(workspace, "service", [model], None, None),
            lambda: Model.package(workspace, [model]),
            lambda: Model.profile(workspace, "profile", [model], None, None),
        ):
            with pytest.raises(NotOffered, match=r"is not offered: .*mlflow models serve -m models:/served/1"):
                call()

    def test_models_of_plain_mlflow_are_there_too(self, workspace: Workspace, folder: Path) -> None:
        client = client_of(workspace.paths)
        experiment = client.create_experiment("plain")
        run_id = client.create_run(experiment).info.run_id
        client.log_artifacts(run_id, "net", "model")
        client.set_terminated(run_id)
        client.create_registered_model("plain")
        source = f"{client.get_run(run_id).info.artifact_uri}/model"
        client.create_model_version("plain", source, run_id, tags={"by": "mlflow"}, description="d")
        model = Model(workspace, "plain")
        assert (model.version, model.tags, model.properties, model.description) == (1, {"by": "mlflow"}, {}, "d")
        assert model.run_id is None
        assert sorted(os.listdir(model.download("got"))) == ["deep", "weights.bin"]
        assert sorted(os.listdir(Model.get_model_path("plain", _workspace=workspace))) == ["deep", "weights.bin"]
        model.add_tags({"more": "ours"})
        assert client.get_model_version("plain", "1").tags == {"by": "mlflow", "more": "ours"}

    def test_mlflow_loads_what_was_registered(self, workspace: Workspace, folder: Path) -> None:
        model = Model.register(workspace, "net", "for-mlflow", tags={"stage": "test"})
        found = client_of(workspace.paths).search_model_versions("name='for-mlflow' and tags.stage = 'test'")
        assert [int(version.version) for version in found] == [model.version]
        import mlflow.artifacts

        uri = workspace.get_mlflow_tracking_uri()
        local = mlflow.artifacts.download_artifacts(artifact_uri=found[0].source, dst_path="mlflow", tracking_uri=uri)
        assert (Path(local) / "deep" / "labels.txt").read_text() == "cat dog"

    def test_data_sets_are_kept_with_the_model(self, workspace: Workspace, folder: Path) -> None:
        datastore = workspace.get_default_datastore()
        datastore.upload_files([str(folder / "net.pkl")], target_path="train", show_progress=False)
        files = Dataset.File.from_files([(datastore, "train/net.pkl")])
        registered = files.register(workspace, "training files")
        model = Model.register(
            workspace, "net.pkl", "trained", datasets=[("training", registered)], sample_input_dataset=registered
        )
        found = Model(workspace, "trained")
        assert [data.name for data in found.datasets["training"]] == ["training files"]
        assert [one.id for one in Model.list(workspace, dataset_id=registered.id)] == [model.id]
        assert found.sample_input_dataset.name == "training files"
        model.add_dataset_references([("validation", registered)])
        assert {*Model(workspace, "trained").datasets} == {"training", "validation"}


class TestModelOfARun:
    def test_artifact_of_a_run_that_ended(self, submit: Submit, workspace: Workspace, folder: Path) -> None:
        run = submit(
            """
            import os
            os.makedirs("outputs/net#1")
            open("outputs/net#1/weights", "w").write("w")
            open("outputs/one?.pkl", "w").write("p")
            """
        )
        run.wait_for_completion()
        model = run.register_model("of-run", "outputs/net#1", tags={"a": 1}, properties={"b": 2}, description="d")
        assert (model.tags, model.properties, model.description) == ({"a": "1"}, {"b": "2"}, "d")
        assert model.run_id == run.id and model.experiment_name == "tests" and model.unpack
        found = Model(workspace, "of-run", run_id=run.id)
        assert found.run.id == run.id
        assert [entry.id for entry in Model.list(workspace, run_id=run.id)] == ["of-run:1"]
        (file,) = Path(
            model.download("got")
        ).iterdir()  # MLflow's client does not take the #: it has another name there
        assert file.read_text() == "w"
        assert Path(run.register_model("file", "./outputs/one?.pkl").download("got")).read_text() == "p"
        self._missing(run)

    def _missing(self, run: Run) -> None:
        with pytest.raises(UserErrorException, match=r"Could not locate the provided model_path outputs/none .*one"):
            run.register_model("none", "outputs/none")

    def test_upload_that_is_replaced_leaves_the_registered_one_alone(
        self, submit: Submit, workspace: Workspace, folder: Path
    ) -> None:
        run = submit("import time\nwhile True: time.sleep(0.1)")
        run.upload_file("outputs/net.pkl", "net.pkl")
        first = run.register_model("replaced", "outputs/net.pkl")
        (folder / "net.pkl").write_text("second")
        run.upload_file("outputs/net.pkl", "net.pkl")
        second = run.register_model("replaced", "outputs/net.pkl")
        run.cancel()
        run.wait_for_completion()
        assert Path(first.download("first")).read_text() == "weights"
        assert Path(second.download("second")).read_text() == "second"
