"""A trained directory in a run's outputs becomes a version in MLflow's model registry that loads and predicts."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.conftest import Submit, driver_log
from tests.rig.tiny_networks import write_sources
from toolkit import Run, Workspace
from toolkit.agent import server
from toolkit.errors import UserErrorException
from toolkit.inscript.registering import find_artifact

pytestmark = pytest.mark.shared_home

TRAIN = """
    import sys
    from pathlib import Path

    import torch

    from toolkit.vision.directory import new_directory
    from toolkit.vision.networks.model_directory import load_untrained, save_trained
    from toolkit.vision.networks.untrained import network

    network("untrained", "nets:Tiny", source_directory=sys.argv[1])
    found = load_untrained("untrained")
    torch.manual_seed(0)
    built = found.build(2).eval()
    statistics = dict(mean=(0.5,) * 3, std=(0.5,) * 3, image_size=(8, 8))
    with new_directory("outputs/trained_model_outputs", "ModelDirectory") as root:
        save_trained(root, built, found.spec, ["cat", "dog"], **statistics)
    Path("outputs/notes.txt").write_text("other things")
    with torch.inference_mode():
        print("expected", *torch.softmax(built(torch.zeros(1, 3, 8, 8)), 1)[0].tolist())
"""


def _trained(submit: Submit, tmp_path: Path) -> Run:
    sources = write_sources(tmp_path / "network sources")
    run = submit(TRAIN, arguments=[str(sources)])
    run.wait_for_completion()
    return run


class TestRegisteredModel:
    def test_version_loads_with_labels_and_predicts_what_the_run_did(
        self, submit: Submit, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "path", list(sys.path))
        run = _trained(submit, tmp_path)
        version = run.register_model(
            "tiny-animals", tags={"stage": 1}, properties={"data": "none"}, description="cats and dogs"
        )
        assert (version.name, version.version, version.uri) == ("tiny-animals", 1, "models:/tiny-animals/1")
        expected = [float(word) for word in driver_log(run).split("expected ")[1].split()[:2]]
        import mlflow
        import mlflow.pyfunc
        import mlflow.pytorch

        uri = server.tracking_uri(workspace.paths)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", uri)
        loaded = mlflow.pytorch.load_model(version.uri)
        grey = torch.full((1, 3, 8, 8), 0.5)  # zero after the normalisation
        with torch.inference_mode():
            np.testing.assert_allclose(loaded(grey)[0].numpy(), expected, rtol=1e-5)
        served = mlflow.pyfunc.load_model(version.uri)
        np.testing.assert_allclose(served.predict(grey.numpy())[0], expected, rtol=1e-5)
        assert served.metadata.metadata["labels"] == ["cat", "dog"]
        kept = mlflow.MlflowClient(uri).get_model_version("tiny-animals", "1")
        assert {key: value for key, value in kept.tags.items() if key.count(".") != 1} == {
            "stage": "1",
            "toolkit.property.data": "none",
        }
        assert (version.tags, version.properties) == ({"stage": "1"}, {"data": "none"})
        assert kept.description == "cats and dogs"
        assert mlflow.MlflowClient(uri).get_run(kept.run_id).data.tags["toolkit.run_id"] == run.id
        assert run.register_model("tiny-animals", "outputs/trained_model_outputs/").version == 2
        self._bad_names(run)

    def _bad_names(self, run: Run) -> None:
        with pytest.raises(UserErrorException, match=r"outputs/absent .*outputs/notes.txt"):
            run.register_model("tiny-animals", "outputs/absent")
        with pytest.raises(UserErrorException, match="refuses to register the model 'a/b:c'"):
            run.register_model("a/b:c", "outputs/trained_model_outputs")

    def test_run_that_goes_on_has_no_outputs_yet(self, submit: Submit) -> None:
        run = submit(
            """
            import time
            from pathlib import Path

            from toolkit import Run

            Path("outputs/model.txt").write_text("half")
            Run.get_context().upload_file("uploaded/model.txt", "outputs/model.txt")
            Run.get_context().log("written", 1)
            while not Path("outputs/end").exists():
                time.sleep(0.05)
            """
        )
        from tests.conftest import wait_until

        wait_until(lambda: "outputs/model.txt" in run.get_file_names() and run.get_metrics("written"))
        with pytest.raises(UserErrorException, match=r"the run .* goes on.*wait_for_completion"):
            run.register_model("early", "outputs/model.txt")
        assert run.register_model("uploaded", "uploaded").version == 1
        Path(run.directory.outputs, "end").touch()
        run.wait_for_completion()
        assert run.register_model("early", "outputs/model.txt").uri == "models:/early/1"


def test_artifact_that_is_registered() -> None:
    files = ["azureml-logs/70.txt", "outputs/flowers/MLmodel", "outputs/trained_model_outputs/MLmodel", "flowers"]
    assert find_artifact(files, "flowers", None) == "flowers"
    assert find_artifact(files, "trees", None) == "outputs/trained_model_outputs"
    assert find_artifact(files, "trees", "outputs/flowers") == "outputs/flowers"
    with pytest.raises(UserErrorException, match=r"outputs/flow .*azureml-logs"):
        find_artifact(files, "trees", "outputs/flow")
    with pytest.raises(UserErrorException, match=r"none$"):
        find_artifact([], "trees", None)
