"""ModelDirectory: a network that is to be trained, or one that was.

    _meta.yaml           type: UntrainedModelDirectory or ModelDirectory, and where the next file is
    model_spec.yaml      which network: see model_spec.py
    model                the weights of an untrained one that has some, a state dict
    code/                the modules of a user's own class

and of a trained one

    data/model.pth       the weights, a state dict on the CPU
    index_to_label.csv   the names of the classes
    conda_env.yaml       the packages that it was trained with
    _schema.json         what goes in; _samples.json beside it
    MLmodel …            the same folder is an MLflow model: see mlflow_model.py
"""

from __future__ import annotations

import csv
import json
import os
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from toolkit.vision.directory import MODEL, UNTRAINED_MODEL, describe, read_meta, write_meta
from toolkit.vision.errors import InvalidModelDirectoryError
from toolkit.vision.networks import mlflow_model, original_model, weights
from toolkit.vision.networks.model_spec import CODE, SPEC, ModelSpec, UnusableSpec, inside, read_spec, write_spec
from toolkit.vision.networks.weights import UnusableWeights

WEIGHTS = "model"
OUTPUT_PATH = "trained_model_outputs"  # where a run keeps a copy of the trained directory, in its outputs
_LABELS, _SCHEMA, _SAMPLES = "index_to_label.csv", "_schema.json", "_samples.json"
_UNTRAINED = "Untrained model"
_UNTRAINED_HINT = "Input untrained model must be a pytorch model: make one with DenseNet, ResNet or Network."


@dataclass(frozen=True)
class Untrained:
    """A network that is to be trained.

    Attributes:
        root: its directory.
        spec: which network.
        weights: the state dict that training starts from, if there is one.
    """

    root: Path
    spec: ModelSpec
    weights: Path | None

    def build(self, num_classes: int) -> torch.nn.Module:
        """The network for this many classes, on the CPU, float32, in train mode.

        Fresh weights come from torch's global CPU generator: seed it before. Of stored weights all are taken but those
        of the head, which is always fresh.

        Raises:
            InvalidModelDirectoryError: the class cannot be made, or the weights are not its.
        """
        try:
            network = self.spec.construct(num_classes)
        except Exception as error:
            raise _unusable(_UNTRAINED, f"{self.spec.title} cannot be made: {type(error).__name__}: {error}") from error
        if self.weights is not None:
            try:
                stored = weights.plain_names(weights.read(self.weights))
                expected, head = self.spec.outline()
                if self.spec.original:
                    stored = original_model.network_of(stored, expected)
                weights.put(network, weights.check(stored, expected, head))
            except UnusableWeights as error:
                raise _unusable(_UNTRAINED, f"its stored weights cannot be used: {error}") from error
        return network.float().train()


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        root: its directory.
        module: pixel values, normalised, float32 Nx3xHxW, to logits NxC; in eval mode, on the CPU.
        class_names: C names by class index.
        mean, std: of the normalisation, 3 values each, for pixel values in [0, 1].
        image_size: the height and width of the images in pixels that it was trained on; None: not known.
        metadata: what `save_trained` was given.
    """

    root: Path
    module: torch.nn.Module
    class_names: list[str]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: tuple[int, int] | None
    metadata: dict[str, Any]


def load_untrained(path: str | os.PathLike[str]) -> Untrained:
    """What is to be trained. A trained directory is taken too: training starts from its weights, with a fresh head.

    Raises:
        InvalidModelDirectoryError: no ModelDirectory of a PyTorch network is there.
    """
    root, spec, content = _open(path, (UNTRAINED_MODEL, MODEL), _UNTRAINED, _UNTRAINED_HINT)
    try:
        stored = inside(root, str(content["model_file"])) if content.get("model_file") else None
    except ValueError as error:
        raise _unusable(_UNTRAINED, str(error)) from error
    trained = read_meta(root).get("type") == MODEL
    if not spec.pretrained and not trained:
        stored = None  # an original directory: random weights, which are drawn anew from the seed of the training
    elif stored is None or not stored.is_file():
        raise _unusable(_UNTRAINED, f"its weights {stored or WEIGHTS} are not there")
    return Untrained(root, replace(spec, num_classes=None), stored)


def save_untrained(root: Path, spec: ModelSpec, state: weights.State | None) -> None:
    """Write the files of an untrained directory into `root`, where a user's code is already."""
    if state is not None:
        torch.save(OrderedDict(state), root / WEIGHTS)
    write_spec(root, spec, WEIGHTS if state is not None else None)
    write_meta(root, UNTRAINED_MODEL, model=SPEC)


def save_trained(
    root: Path,
    module: torch.nn.Module,
    spec: ModelSpec,
    class_names: list[str],
    *,
    mean: tuple[float, ...] | list[float],
    std: tuple[float, ...] | list[float],
    image_size: tuple[int, int],
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write the files of a trained directory into `root`, an existing folder.

    Args:
        module: the network, on any device, wrapped by DistributedDataParallel or torch.compile or not.
        spec: the untrained network's.
        class_names: names by class index.
        mean, std: of the normalisation, for pixel values in [0, 1].
        image_size: height and width in pixels.
        metadata: whatever else is to be known of it: plain values. `transforms` is applied when images are scored.
    """
    trained = replace(spec, num_classes=len(class_names), original=False)
    (root / mlflow_model.DATA).mkdir()
    torch.save(_portable_state(module), root / mlflow_model.WEIGHTS)
    if spec.code is not None:
        copy_code(spec.code, root / CODE)
        trained = replace(trained, code=root / CODE)
    facts = mlflow_model.Facts(
        class_names,
        [float(value) for value in mean],
        [float(value) for value in std],
        tuple(image_size),
        metadata or {},
    )
    normalizer = {"module": "torchvision.transforms", "class": "Normalize"}
    normalizer["init_params"] = {"mean": facts.mean, "std": facts.std}  # type: ignore[assignment]
    write_spec(
        root,
        trained,
        mlflow_model.WEIGHTS,
        label_map=_LABELS,
        inputs=[{"name": "image", "size": list(image_size), "pre_processor": normalizer}],
        conda_file=mlflow_model.CONDA,
        metadata=facts.metadata,
    )
    with open(root / _LABELS, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([["", "label"], *enumerate(class_names)])
    image = {"name": "image", "type": "Bytes", "isFeature": True, "properties": {"mime_type": "image/png"}}
    (root / _SCHEMA).write_text(json.dumps({"columnAttributes": [image]}), encoding="utf-8")
    (root / _SAMPLES).write_text("[]", encoding="utf-8")
    mlflow_model.write(root, trained, facts)
    write_meta(
        root, MODEL, model=SPEC, registerModel=True, modelOutputPath=OUTPUT_PATH, schema=_SCHEMA, samples=_SAMPLES
    )


def load_trained(path: str | os.PathLike[str], argument: str = "Trained model") -> Trained:
    """A trained network, in eval mode, on the CPU. Weights are read without executing anything; a user's class is run.

    Args:
        argument: what the directory is called in messages.

    Raises:
        InvalidModelDirectoryError: no trained ModelDirectory is there, or it cannot be loaded.
    """
    root, spec, content = _open(path, (MODEL,), argument, "Train one with Train PyTorch Model.")
    try:
        class_names = _read_labels(inside(root, str(content.get("label_map_file", _LABELS))))
        first = content["inputs"][0]
        normalizer = first["pre_processor"]["init_params"]
        mean, std = (tuple(_three(normalizer[key])) for key in ("mean", "std"))
        size = (int(first["size"][0]), int(first["size"][1])) if first.get("size") else None
        state = weights.read(inside(root, str(content["model_file"])))
        with torch.random.fork_rng(devices=[]):
            module = _with_weights(spec, weights.plain_names(state), spec.num_classes or len(class_names))
        if len(class_names) != (spec.num_classes or len(class_names)):
            raise ValueError(f"{len(class_names)} names of classes, and a network with {spec.num_classes} outputs")
    except Exception as error:  # a user's class may raise anything
        reason = str(error) if isinstance(error, UnusableWeights) else f"{type(error).__name__}: {error}"
        raise InvalidModelDirectoryError(argument, f"Failed to load generic model: {reason}") from error
    return Trained(root, module.eval(), class_names, mean, std, size, dict(content.get("metadata") or {}))


def copy_code(source: Path, target: Path) -> None:
    """Copy the Python files of a user's class; what the toolkit put beside them in a trained directory stays behind."""
    import shutil

    shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", f"{mlflow_model.LOADER}*"))


def _with_weights(spec: ModelSpec, state: weights.State, num_classes: int) -> torch.nn.Module:
    if spec.original:
        return original_model.trained(spec, state, num_classes)
    module = spec.construct(num_classes)
    weights.put(module, weights.check(state, module.state_dict(), set()))
    return module


def _portable_state(module: torch.nn.Module) -> OrderedDict[str, torch.Tensor]:
    """The weights as a bare network on the CPU has them."""
    while True:
        if isinstance(module, (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)):
            module = module.module
        elif hasattr(module, "_orig_mod"):  # torch.compile
            module = module._orig_mod  # type: ignore[assignment]
        else:
            break
    state = module.state_dict()
    plain = OrderedDict(
        (name.replace("_orig_mod.", ""), value.detach().cpu().clone(memory_format=torch.contiguous_format))
        for name, value in state.items()
    )
    versions = state._metadata.items()  # type: ignore[attr-defined]
    plain._metadata = OrderedDict(  # type: ignore[attr-defined]
        (name.replace("_orig_mod.", "").removesuffix("._orig_mod"), version) for name, version in versions
    )
    return plain


def _open(
    path: str | os.PathLike[str], kinds: tuple[str, ...], argument: str, hint: str
) -> tuple[Path, ModelSpec, dict[str, Any]]:
    root = Path(os.path.abspath(path))
    meta = read_meta(root)
    if meta.get("type") not in kinds:
        raise InvalidModelDirectoryError(argument, f"{describe(root)}, and it must be a {kinds[0]}", hint)
    try:
        spec, content = read_spec(root, str(meta.get("model", SPEC)))
    except UnusableSpec as error:
        if error.legacy and argument != _UNTRAINED:
            raise InvalidModelDirectoryError(
                argument, f"Got legacy pickle model ({error})", "Use 'Score Model' for it."
            ) from error
        raise InvalidModelDirectoryError(argument, str(error), hint) from error
    return root, spec, content


def _read_labels(path: Path) -> list[str]:
    """Names by class index, from a CSV of `index,label`. ValueError where an index is missing."""
    with open(path, encoding="utf-8", newline="") as file:
        rows = {int(row[0]): row[1] for row in list(csv.reader(file))[1:] if row}
    if sorted(rows) != list(range(len(rows))) or not rows:
        raise ValueError(f"{path.name} does not name the classes 0, 1, 2 …")
    return [rows[index] for index in range(len(rows))]


def _three(values: Any) -> list[float]:
    found = [float(value) for value in values] if isinstance(values, (list, tuple)) else [float(values)] * 3
    if len(found) != 3:
        raise ValueError(f"{values} are not three values, one a channel")
    return found


def _unusable(argument: str, reason: str) -> InvalidModelDirectoryError:
    return InvalidModelDirectoryError(argument, reason, _UNTRAINED_HINT)
