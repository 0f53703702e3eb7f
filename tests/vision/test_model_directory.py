"""ModelDirectory: what is trained comes back the same, to us and to MLflow; broken and hostile ones are refused."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
import yaml

from tests.rig.tiny_networks import CLASS, write_sources
from toolkit.vision.errors import InvalidModelDirectoryError
from toolkit.vision.networks.model_directory import Trained, load_trained, load_untrained, save_trained
from toolkit.vision.networks.untrained import network, resnet

NAMES = ["cat", "dog, big", "été"]
MEAN, STD = (0.5, 0.4, 0.3), (0.25, 0.5, 0.5)


def _train(folder: Path, module: torch.nn.Module | None = None, **metadata: Any) -> tuple[Path, torch.nn.Module]:
    """A trained directory of the tiny class, with statistics in its normalisation as after a training."""
    if not (folder / "untrained").exists():
        network(folder / "untrained", CLASS, source_directory=write_sources(folder / "sources"))
    found = load_untrained(folder / "untrained")
    torch.manual_seed(3)
    built = module or found.build(len(NAMES))
    with torch.no_grad():
        built(torch.rand(8, 3, 10, 12))
    (folder / "trained").mkdir()
    save_trained(
        folder / "trained", built, found.spec, NAMES, mean=MEAN, std=STD, image_size=(10, 12), metadata=metadata
    )
    return folder / "trained", built.eval()


def _resnet_directory(folder: Path) -> tuple[Path, torch.nn.Module]:
    resnet(folder / "untrained", "resnet18", pretrained=False)
    found = load_untrained(folder / "untrained")
    built = found.build(len(NAMES))
    (folder / "trained").mkdir()
    save_trained(folder / "trained", built, found.spec, NAMES, mean=MEAN, std=STD, image_size=(32, 32), metadata={})
    return folder / "trained", built.eval()


def _files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def _probabilities(module: torch.nn.Module, pixels: torch.Tensor) -> torch.Tensor:
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        return torch.softmax(module((pixels - mean) / std), 1)


def test_trained_directory_has_the_designers_layout(tmp_path: Path) -> None:
    root, _ = _train(tmp_path, seed=7)
    loader = next((root / "code").glob("toolkit_network_*.py")).name
    assert _files(root) == sorted([
        "MLmodel", "_meta.yaml", "_samples.json", "_schema.json", f"code/{loader}", "code/nets.py",
        "code/parts/__init__.py", "code/parts/blocks.py", "conda_env.yaml", "data/model.pth",
        "data/pickle_module_info.txt", "index_to_label.csv", "model_spec.yaml", "python_env.yaml", "requirements.txt",
    ])  # fmt: skip
    assert yaml.safe_load((root / "_meta.yaml").read_text()) == {
        "type": "ModelDirectory", "model": "model_spec.yaml", "registerModel": True,
        "modelOutputPath": "trained_model_outputs", "schema": "_schema.json", "samples": "_samples.json",
        "extension": {},
    }  # fmt: skip
    spec = yaml.safe_load((root / "model_spec.yaml").read_text())
    assert spec["flavor_extras"]["init_params"] == {"num_classes": 3}
    assert spec["inputs"][0]["pre_processor"]["init_params"] == {"mean": list(MEAN), "std": list(STD)}
    assert spec["metadata"] == {"seed": 7}
    with open(root / "index_to_label.csv", encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [["", "label"], ["0", "cat"], ["1", "dog, big"], ["2", "été"]]
    conda = yaml.safe_load((root / "conda_env.yaml").read_text())
    assert f"torch=={torch.__version__.partition('+')[0]}" in conda["dependencies"][2]["pip"]


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    root, module = _train(tmp_path, transforms=[["Resize", 10]])
    before = torch.random.get_rng_state()
    found = load_trained(root)
    assert torch.equal(before, torch.random.get_rng_state())
    assert (found.class_names, found.mean, found.std, found.image_size) == (NAMES, MEAN, STD, (10, 12))
    assert found.metadata == {"transforms": [["Resize", 10]]}
    assert not found.module.training
    pixels = torch.rand(4, 3, 10, 12)
    with torch.inference_mode():
        assert torch.equal(found.module(pixels), module(pixels))


def test_weights_are_a_plain_state_dict_of_contiguous_tensors(tmp_path: Path) -> None:
    resnet(tmp_path / "untrained", "resnet18", pretrained=False)
    spec = load_untrained(tmp_path / "untrained").spec
    module = torchvision.models.resnet18(num_classes=3).to(memory_format=torch.channels_last)
    module.layer1 = torch.compile(module.layer1)
    (tmp_path / "trained").mkdir()
    wrapped = torch.nn.DataParallel(torch.compile(module))  # type: ignore[arg-type]
    save_trained(tmp_path / "trained", wrapped, spec, NAMES, mean=MEAN, std=STD, image_size=(32, 32))
    state = torch.load(tmp_path / "trained" / "data" / "model.pth", weights_only=True)
    assert list(state) == list(torchvision.models.resnet18(num_classes=3).state_dict())
    assert all(value.is_contiguous() and value.device.type == "cpu" for value in state.values())
    found = load_trained(tmp_path / "trained").module.state_dict()
    assert all(torch.equal(found[name], state[name]) for name in state)


# -- MLflow -------------------------------------------------------------------------------------------------------


def test_mlflow_loads_both_flavours_and_they_agree_with_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    root, module = _train(tmp_path, epochs=2)
    import mlflow.models
    import mlflow.pyfunc
    import mlflow.pytorch

    pixels = torch.rand(4, 3, 10, 12)
    wanted = _probabilities(module, pixels)
    loaded = mlflow.pytorch.load_model(str(root))
    assert isinstance(loaded, torch.nn.Module)
    with torch.inference_mode():
        torch.testing.assert_close(loaded(pixels), wanted)
    predicted = mlflow.pyfunc.load_model(str(root)).predict(pixels.numpy())
    np.testing.assert_allclose(predicted, wanted.numpy(), rtol=1e-5)
    info = mlflow.models.get_model_info(str(root))
    assert set(info.flavors) == {"pytorch", "python_function"}
    assert info.metadata is not None
    assert info.metadata["labels"] == NAMES
    assert info.metadata["epochs"] == 2
    assert info.signature is not None
    assert info.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 3, 10, 12)}
    assert info.signature.outputs.to_dict()[0]["tensor-spec"] == {"dtype": "float32", "shape": (-1, 3)}
    with pytest.raises(mlflow.exceptions.MlflowException, match="Shape of input"):
        mlflow.pyfunc.load_model(str(root)).predict(pixels.numpy()[:, :, :5])


def test_mlflow_loads_two_models_in_one_process_without_mixing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    tiny, _ = _train(tmp_path / "a")
    large, _ = _resnet_directory(tmp_path / "b")
    import mlflow.pytorch

    loaded = [mlflow.pytorch.load_model(str(root)) for root in (tiny, large, tiny)]
    assert [type(one[1]).__name__ for one in loaded] == ["Tiny", "ResNet", "Tiny"]


def test_mlflow_model_needs_nothing_of_the_toolkit(tmp_path: Path) -> None:
    """In a process that cannot import the toolkit, as where a model is served."""
    root, module = _train(tmp_path)
    pixels = torch.rand(2, 3, 10, 12)
    np.save(tmp_path / "pixels.npy", pixels.numpy())
    script = (
        "import sys; sys.modules['toolkit'] = None\n"
        "import mlflow.pyfunc, numpy\n"
        "found = mlflow.pyfunc.load_model(sys.argv[1]).predict(numpy.load('pixels.npy'))\n"
        "numpy.save('found.npy', found)\n"
    )
    environment = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "CUDA_VISIBLE_DEVICES": ""}
    subprocess.run([sys.executable, "-c", script, str(root)], cwd=tmp_path, check=True, env=environment)
    wanted = _probabilities(module, pixels).numpy()
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), wanted, rtol=1e-5)


def test_fields_are_those_that_mlflow_writes_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    root, module = _train(tmp_path)
    import mlflow.pytorch

    mlflow.pytorch.save_model(
        module, str(tmp_path / "theirs"), serialization_format="pickle", pip_requirements=["torch"]
    )
    ours, theirs = (
        yaml.safe_load((folder / "MLmodel").read_text())["flavors"] for folder in (root, tmp_path / "theirs")
    )
    for flavor in ("pytorch", "python_function"):
        assert set(theirs[flavor]) - set(ours[flavor]) <= {"code"}
        assert set(ours[flavor]) - set(theirs[flavor]) <= {"code"}
    assert ours["pytorch"]["pytorch_version"] == theirs["pytorch"]["pytorch_version"]


# -- going on from a trained one ----------------------------------------------------------------------------------


def test_trained_directory_can_be_trained_again_with_other_classes(tmp_path: Path) -> None:
    root, module = _train(tmp_path)
    again = load_untrained(root)
    built = again.build(7)
    assert built.state_dict()["out.weight"].shape[0] == 7
    assert torch.equal(built.state_dict()["features.0.0.weight"], module.state_dict()["features.0.0.weight"])
    (tmp_path / "second").mkdir()
    names = [f"class {number}" for number in range(7)]
    save_trained(tmp_path / "second", built, again.spec, names, mean=MEAN, std=STD, image_size=(10, 12))
    assert len(list((tmp_path / "second" / "code").glob("toolkit_network_*"))) == 1
    assert load_trained(tmp_path / "second").class_names == names


# -- what is refused ----------------------------------------------------------------------------------------------


def _refused(path: Path, untrained: bool = False) -> str:
    with pytest.raises(InvalidModelDirectoryError) as caught:
        (load_untrained if untrained else load_trained)(path)
    assert caught.value.code == 159
    return str(caught.value)


def test_what_is_no_model_directory(tmp_path: Path) -> None:
    text = _refused(tmp_path / "absent", untrained=True)
    assert text.startswith('InvalidModelDirectoryError: ModelDirectory "Untrained model" is invalid. Reason: ')
    assert "does not exist" in text
    assert "Input untrained model must be a pytorch model" in text
    assert "without a _meta.yaml" in _refused(tmp_path)
    (tmp_path / "_meta.yaml").write_text("type: ImageDirectory\n")
    assert "is a ImageDirectory" in _refused(tmp_path)
    resnet(tmp_path / "model", "resnet18", pretrained=False)
    assert "UntrainedModelDirectory" in _refused(tmp_path / "model")


def _edit(root: Path, change: Any) -> None:
    content = yaml.safe_load((root / "model_spec.yaml").read_text())
    change(content)
    (root / "model_spec.yaml").write_text(yaml.safe_dump(content))


def test_classic_pickle_model_belongs_to_another_module(tmp_path: Path) -> None:
    root, _ = _train(tmp_path)
    _edit(root, lambda content: content["flavor"].update(name="sklearn", serialization_method="pickle"))
    text = _refused(root)
    assert "Got legacy pickle model" in text
    assert "'Score Model'" in text
    assert "not a state dict" in _refused(root, untrained=True)


def test_unknown_network_is_named(tmp_path: Path) -> None:
    resnet(tmp_path / "model", "resnet18", pretrained=False)
    _edit(tmp_path / "model", lambda content: content["flavor_extras"].update({"class": "resnet19"}))
    text = _refused(tmp_path / "model", untrained=True)
    assert "no classifier 'resnet19'; near it: resnet1" in text


@pytest.mark.parametrize("broken", ["model_spec.yaml", "index_to_label.csv", "data/model.pth", "code/nets.py"])
def test_damaged_directories(tmp_path: Path, broken: str) -> None:
    root, _ = _train(tmp_path)
    (root / broken).write_bytes(b"\xff{{{ broken")
    text = _refused(root)
    assert "cannot be read" in text if broken == "model_spec.yaml" else "Failed to load generic model" in text
    (root / broken).unlink()
    _refused(root)


def test_missing_code_is_named(tmp_path: Path) -> None:
    root, _ = _train(tmp_path)
    _edit(root, lambda content: content["flavor_extras"].pop("code"))
    assert "no folder with the code" in _refused(root)


def test_weights_of_another_network(tmp_path: Path) -> None:
    root, _ = _train(tmp_path)
    torch.save({"out.weight": torch.zeros(3, 4)}, root / "data" / "model.pth")
    text = _refused(root)
    assert "Failed to load generic model" in text
    assert "missing: features.0.0.weight" in text


class _Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def test_hostile_weights_are_never_executed(tmp_path: Path) -> None:
    root, _ = _train(tmp_path)
    torch.save({"out.weight": _Hostile(tmp_path / "executed")}, root / "data" / "model.pth")
    assert "nothing in it was executed" in _refused(root)
    _refused_build(root)
    assert not (tmp_path / "executed").exists()


def _refused_build(root: Path) -> None:
    with pytest.raises(InvalidModelDirectoryError, match="stored weights cannot be used"):
        load_untrained(root).build(2)


@pytest.mark.parametrize("key", ["model_file", "label_map_file"])
@pytest.mark.parametrize("name", ["../outside", "/etc/hostname"])
def test_names_that_lead_out_of_the_directory(tmp_path: Path, key: str, name: str) -> None:
    root, _ = _train(tmp_path)
    _edit(root, lambda content: content.update({key: name}))
    assert "leads out of the directory" in _refused(root)
    if key == "model_file":
        assert "leads out of the directory" in _refused(root, untrained=True)


def test_other_number_of_labels(tmp_path: Path) -> None:
    root, _ = _train(tmp_path)
    (root / "index_to_label.csv").write_text(",label\n0,cat\n1,dog\n")
    assert "2 names of classes, and a network with 3 outputs" in _refused(root)


# -- directories that the designer wrote --------------------------------------------------------------------------


def _original(folder: Path, state: dict[str, torch.Tensor], pretrained: bool, trained: bool) -> Path:
    """A directory as the reference describes the designer's."""
    folder.mkdir()
    params = {"model_name": "resnet18", "pretrained": pretrained}
    spec = {
        "flavor": {"name": "pytorch", "serialization_method": "state_dict"},
        "model_file": "model",
        "flavor_extras": {
            "module": "azureml.designer.modules.pytorch.networks", "class": "ResNet", "is_cuda": False,
            "init_params": {**params, **({"num_classes": 3} if trained else {})},
        },
        "task_type": "MultiClassification",
        "label_map_file": "index_to_label.csv",
        "inputs": [{
            "name": "image",
            "pre_processor": {
                "module": "x", "class": "ImageNormalizer", "init_params": {"mean": [0.5] * 3, "std": [0.5] * 3},
            },
        }],
    }  # fmt: skip
    (folder / "model_spec.yaml").write_text(yaml.safe_dump(spec))
    kind = "ModelDirectory" if trained else "UntrainedModelDirectory"
    (folder / "_meta.yaml").write_text(yaml.safe_dump({"type": kind, "model": "model_spec.yaml"}))
    (folder / "index_to_label.csv").write_text(",label\n0,cat\n1,dog\n2,fox\n")
    torch.save(state, folder / "model")
    return folder


@pytest.mark.parametrize("pretrained", [True, False])
def test_original_trained_network_is_read(tmp_path: Path, pretrained: bool) -> None:
    torch.manual_seed(0)
    inner = torchvision.models.resnet18(num_classes=1000 if pretrained else 3)
    whole = torch.nn.ModuleDict({"base": inner})
    if pretrained:
        whole["added"] = torch.nn.Linear(1000, 3)
    root = _original(tmp_path / "model", whole.state_dict(), pretrained, trained=True)
    found: Trained = load_trained(root)
    pixels = torch.rand(2, 3, 32, 32)
    inner.eval()
    with torch.inference_mode():
        wanted = whole["added"](inner(pixels)) if pretrained else inner(pixels)
        torch.testing.assert_close(found.module(pixels), wanted)
    assert found.image_size is None
    assert found.class_names == ["cat", "dog", "fox"]


def test_original_untrained_network_gives_its_weights_or_is_drawn_anew(tmp_path: Path) -> None:
    inner = torchvision.models.resnet18()
    state = {f"net.{name}": value for name, value in inner.state_dict().items()}
    own = load_untrained(_original(tmp_path / "a", state, pretrained=True, trained=False)).build(4).state_dict()
    assert torch.equal(own["layer4.1.conv2.weight"], state["net.layer4.1.conv2.weight"])
    fresh = load_untrained(_original(tmp_path / "b", state, pretrained=False, trained=False))
    assert fresh.weights is None
    assert not torch.equal(fresh.build(4).state_dict()["conv1.weight"], state["net.conv1.weight"])


def test_original_network_of_another_form_is_refused(tmp_path: Path) -> None:
    state = {f"net.{name}": value for name, value in torchvision.models.resnet18().state_dict().items()}
    root = _original(tmp_path / "a", {**state, "x.weight": torch.zeros(5, 1000)}, pretrained=True, trained=True)
    assert "there must be a linear layer for 3 classes, and there are: x.weight" in _refused(root)
    _edit(root, lambda content: content["flavor_extras"].update({"class": "VGG"}))
    assert "VGG is not known here" in _refused(root)


def test_schema_says_that_an_image_goes_in(tmp_path: Path) -> None:
    root, _ = _train(tmp_path)
    schema = json.loads((root / "_schema.json").read_text())
    assert [column["name"] for column in schema["columnAttributes"]] == ["image"]
