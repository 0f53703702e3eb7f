"""A trained ModelDirectory as an MLflow model, written without MLflow: an environment that trains need not have it.

Flavours `pytorch` (`mlflow.pytorch.load_model` gives a torch.nn.Module) and `python_function`. Both take pixel values
in [0, 1], float32 (-1, 3, height, width), and give the probabilities of the classes, float32 (-1, classes): the loaded
module normalises, runs the network and ends in a softmax. The names of the classes are in the metadata, as `labels`.

    MLmodel, conda_env.yaml, python_env.yaml, requirements.txt
    data/model.pth               the state dict
    data/pickle_module_info.txt  the module in code/ that makes the network of it: a copy of rebuild.py
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from toolkit.vision.networks import rebuild
from toolkit.vision.networks.model_spec import CODE, ModelSpec

DATA = "data"
WEIGHTS = "data/model.pth"
CONDA = "conda_env.yaml"
LOADER = "toolkit_network_"  # how the copies of rebuild.py are called, with a hash behind it
_PACKAGES = ("torch", "torchvision", "numpy", "pillow")


@dataclass(frozen=True)
class Facts:
    """What is known of a trained network beside its weights.

    Attributes:
        class_names: names by class index.
        mean, std: of the normalisation, for pixel values in [0, 1].
        image_size: height and width in pixels.
        metadata: whatever else is to be known.
    """

    class_names: list[str]
    mean: list[float]
    std: list[float]
    image_size: tuple[int, ...]
    metadata: dict[str, Any]


def write(root: Path, spec: ModelSpec, facts: Facts) -> None:
    """Write what makes a folder with `data/model.pth` in it, and a user's code in `code/`, an MLflow model."""
    loader = _write_loader(root, spec, facts)
    (root / DATA / "pickle_module_info.txt").write_text(loader, encoding="utf-8")
    requirements = [f"{name}=={version}" for name, version in versions().items()]
    (root / "requirements.txt").write_text("\n".join(requirements) + "\n", encoding="utf-8")
    python = platform.python_version()
    conda = {
        "name": "toolkit-vision",
        "channels": ["conda-forge"],
        "dependencies": [f"python={python}", "pip", {"pip": requirements}],
    }
    _dump(root / CONDA, conda)
    _dump(root / "python_env.yaml", {"python": python, "dependencies": ["-r requirements.txt"]})
    size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    _dump(root / "MLmodel", _mlmodel(loader, facts, size))


def versions() -> dict[str, str]:
    """The packages that the network needs, as they are in this process; without what names a build, as in `+cu128`."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _write_loader(root: Path, spec: ModelSpec, facts: Facts) -> str:
    """Copy rebuild.py into the model's code, the description of its network at the end. Returns the module's name.

    The name has a hash of all that it depends on: two models in one process do not share their modules by accident.
    """
    description = {
        "module": spec.module,
        "class": spec.class_name,
        "init_params": dict(spec.init_params),
        "num_classes": spec.num_classes,
        "mean": facts.mean,
        "std": facts.std,
    }
    text = Path(rebuild.__file__).read_text(encoding="utf-8")
    plain = json.loads(json.dumps(description))  # so that its repr is Python that makes it again
    text += f"\n\nDESCRIPTION.update({plain!r})\n"
    digest = hashlib.sha256(text.encode())
    code = root / CODE
    code.mkdir(exist_ok=True)
    for path in sorted(code.rglob("*.py")):
        digest.update(path.read_bytes())
    name = f"{LOADER}{digest.hexdigest()[:12]}"
    (code / f"{name}.py").write_text(text, encoding="utf-8")
    return name


def _mlmodel(loader: str, facts: Facts, size: int) -> dict[str, Any]:
    height, width = facts.image_size
    return {
        "flavors": {
            "python_function": {
                "code": CODE,
                "config": {"device": None},
                "data": DATA,
                "env": {"conda": CONDA, "virtualenv": "python_env.yaml"},
                "loader_module": "mlflow.pytorch",
                "pickle_module_name": loader,
                "python_version": platform.python_version(),
            },
            "pytorch": {"code": CODE, "model_data": DATA, "pytorch_version": str(torch.__version__)},
        },
        "metadata": {
            "labels": facts.class_names,
            "mean": facts.mean,
            "std": facts.std,
            "image_size": [height, width],
            **facts.metadata,
        },
        "model_size_bytes": size,
        "model_uuid": uuid.uuid4().hex,
        "signature": {
            "inputs": _tensor([-1, 3, height, width]),
            "outputs": _tensor([-1, len(facts.class_names)]),
            "params": None,
        },
        "utc_time_created": time.strftime("%Y-%m-%d %H:%M:%S.000000", time.gmtime()),
    }


def _tensor(shape: list[int]) -> str:
    # MLflow gives a named input as a dictionary, which its pytorch flavour does not take: so it has no name
    return json.dumps([{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": shape}}])


def _dump(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
