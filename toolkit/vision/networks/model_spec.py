"""Which network a ModelDirectory holds: `model_spec.yaml`, in the designer's words.

flavor: {name: pytorch, serialization_method: state_dict}
model_file: model                    the state dict; left out where there are no weights yet
flavor_extras:
  module, class                      `torchvision.models` and a network's name, or a user's module and class
  init_params                        the arguments of the network; of a trained one with num_classes
  pretrained                         whether the weights came from elsewhere
  code                               the folder that a user's module is in
task_type: MultiClassification
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from toolkit.vision.networks.rebuild import TORCHVISION, construct
from toolkit.vision.networks.weights import State

SPEC = "model_spec.yaml"
CODE = "code"
_ORIGINAL = "azureml."  # how the modules of the designer's own network classes begin
_ORIGINAL_CLASSES = ("DenseNet", "ResNet")


class UnusableSpec(Exception):
    """Why a directory's description of its network cannot be used, in words for a message.

    Attributes:
        legacy: whether it is a classic model, which another module of the designer reads.
    """

    def __init__(self, reason: str, legacy: bool = False) -> None:
        super().__init__(reason)
        self.legacy = legacy


@dataclass(frozen=True)
class ModelSpec:
    """A network without its weights.

    Attributes:
        module: `torchvision.models`, or the module of a user's class.
        class_name: the network's name in torchvision, or the class's.
        init_params: its arguments but the number of classes.
        pretrained: whether weights are stored that training starts from.
        code: the folder that a user's module is in.
        num_classes: of a trained network.
        original: whether the Azure ML designer wrote it, whose networks are wrapped.
    """

    module: str
    class_name: str
    init_params: Mapping[str, Any] = field(default_factory=dict)
    pretrained: bool = False
    code: Path | None = None
    num_classes: int | None = None
    original: bool = False

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return self.class_name if self.module == TORCHVISION else f"{self.module}:{self.class_name}"

    def construct(self, num_classes: int) -> torch.nn.Module:
        """The network with fresh weights from torch's global generator; errors as in `rebuild.construct`."""
        return construct(self.module, self.class_name, self.init_params, num_classes, str(self.code or ""))

    def outline(self) -> tuple[State, set[str]]:
        """The names and shapes of its weights, and which of them belong to the head: those that follow the classes."""
        with torch.random.fork_rng(devices=[]):
            fewer, more = (self._shapes(num_classes) for num_classes in (2, 3))
        return fewer, {name for name in fewer if name not in more or fewer[name].shape != more[name].shape}

    def _shapes(self, num_classes: int) -> State:
        if self.module == TORCHVISION:
            try:
                with torch.device("meta"):
                    return dict(self.construct(num_classes).state_dict())
            except NotImplementedError:  # some networks compute with their weights while they are made
                pass
        return dict(self.construct(num_classes).state_dict())


def write_spec(
    root: Path, spec: ModelSpec, model_file: str | None, *, label_map: str | None = None, **further: Any
) -> None:
    """Write `model_spec.yaml` into a directory.

    Args:
        model_file: the name of the state dict in it, if there is one.
        label_map: the name of the list of classes in it, if there is one.
        further: more keys at the top: inputs, conda_file …
    """
    params = {**spec.init_params} if spec.num_classes is None else {**spec.init_params, "num_classes": spec.num_classes}
    extras = {"module": spec.module, "class": spec.class_name, "is_cuda": False, "init_params": params}
    extras["pretrained"] = spec.pretrained
    if spec.code is not None:
        extras["code"] = CODE
    content = {
        "flavor": {"name": "pytorch", "serialization_method": "state_dict"},
        "model_file": model_file,
        "time_created": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()),
        "flavor_extras": extras,
        "task_type": "MultiClassification",
        "label_map_file": label_map,
        **further,
    }
    kept = {key: value for key, value in content.items() if value is not None}
    (root / SPEC).write_text(yaml.safe_dump(kept, sort_keys=False, allow_unicode=True), encoding="utf-8")


def read_spec(root: Path, name: str) -> tuple[ModelSpec, dict[str, Any]]:
    """The network of a directory, and all that its `model_spec.yaml` says.

    Args:
        name: the file's name in the directory.

    Raises:
        UnusableSpec: the file is broken, or describes something else.
    """
    try:
        content = yaml.safe_load(inside(root, name).read_text(encoding="utf-8"))
        flavor = content["flavor"]
        method = flavor.get("serialization_method")
        if flavor.get("name") != "pytorch" or method != "state_dict":
            raise UnusableSpec(f"it holds a {flavor.get('name')} model kept as {method}, not a state dict", legacy=True)
        extras = content["flavor_extras"]
        module, name, params = str(extras["module"]), str(extras["class"]), dict(extras.get("init_params") or {})
        code = inside(root, str(extras["code"])) if extras.get("code") else None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise UnusableSpec(f"{root / name} cannot be read ({error or type(error).__name__})") from error
    original = module.startswith(_ORIGINAL)
    pretrained = bool(params.pop("pretrained", False) if original else extras.get("pretrained"))
    if original:
        if name not in _ORIGINAL_CLASSES or "model_name" not in params:
            raise UnusableSpec(f"its network {module}.{name} is not known here")
        module, name = TORCHVISION, str(params.pop("model_name"))
    num_classes = params.pop("num_classes", None)
    if module == TORCHVISION:
        require_classifier(name)
    elif code is None or not code.is_dir():
        raise UnusableSpec(f"its network {module}:{name} is a class of its own, and there is no folder with the code")
    return ModelSpec(module, name, params, pretrained, code, num_classes, original), content


def require_classifier(name: str) -> None:
    """Refuse a name that is none of torchvision's classifiers.

    Raises:
        UnusableSpec: naming those that are written nearly so.
    """
    import difflib

    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        near = difflib.get_close_matches(name.lower(), known, 5, 0.5)
        raise UnusableSpec(
            f"torchvision has no classifier '{name}'" + (f"; near it: {', '.join(near)}" if near else "")
        )


def inside(root: Path, name: str) -> Path:
    """The path of a file of a directory. ValueError where the name leads out of it."""
    if name.startswith("/") or ".." in Path(name).parts:
        raise ValueError(f"{name!r} leads out of the directory")
    return root / name
