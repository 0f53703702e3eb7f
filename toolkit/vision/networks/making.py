"""An untrained ModelDirectory, written when network and weights have shown that they work together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.directory import UNTRAINED_MODEL, new_directory
from toolkit.vision.networks import model_directory, own_class, weights
from toolkit.vision.networks.model_spec import CODE, ModelSpec, UnusableSpec, require_classifier
from toolkit.vision.networks.rebuild import TORCHVISION
from toolkit.vision.networks.weights import UnusableWeights

StrPath = str | os.PathLike[str]
_PUBLISHED = "IMAGENET1K_V1"  # the weights that the designer used
# These two have further heads for training, whose loss is a matter of their own: they are trained without.
_WITHOUT_AUXILIARY = {
    "googlenet": {"aux_logits": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "init_weights": True},
}


def write_torchvision(
    output_path: StrPath, name: str, params: dict[str, Any], pretrained: bool, weights_path: StrPath | None
) -> None:
    """Write a classifier of torchvision; its published weights where it is `pretrained` and no file is given.

    Raises:
        UserErrorException: there is no such classifier, or its parameters or weights cannot be used.
        FailedToDownloadFilesError: the published weights cannot be fetched.
    """
    try:
        require_classifier(name)
    except UnusableSpec as error:
        raise UserErrorException(f"{error}. A class of your own is written as 'module:Class'") from error
    if params.get("aux_logits"):
        raise UserErrorException(f"{name} is trained without its auxiliary heads: leave aux_logits out")
    spec = ModelSpec(TORCHVISION, name, {**_WITHOUT_AUXILIARY.get(name, {}), **params})
    stored = _given(weights_path)
    if stored is None and pretrained:
        stored = weights.fetch(_published(name))
    with new_directory(output_path, UNTRAINED_MODEL) as staging:
        _save(staging, spec, stored)


def write_own(
    output_path: StrPath, module: str, name: str, params: dict[str, Any], source: Path, weights_path: StrPath | None
) -> None:
    """Write a user's class with the Python files below `source`.

    Raises:
        UserErrorException: the class cannot be made, or its weights cannot be used.
    """
    stored = _given(weights_path)
    with new_directory(output_path, UNTRAINED_MODEL) as staging:
        own_class.copy_sources(source, staging / CODE, module)
        _save(staging, ModelSpec(module, name, params, code=staging / CODE), stored)


def _given(weights_path: StrPath | None) -> Path | None:
    if weights_path is not None and not Path(weights_path).is_file():
        raise UserErrorException(f"weights_path '{weights_path}' is no file")
    return None if weights_path is None else Path(weights_path)


def _save(root: Path, spec: ModelSpec, stored: Path | None) -> None:
    expected, head = _outline(spec)
    state = None if stored is None else _state(spec, stored, expected, head)
    model_directory.save_untrained(root, replace(spec, pretrained=state is not None), state)


def _published(name: str) -> str:
    """The URL of the published weights of a torchvision network."""
    from torchvision import models

    found = models.get_model_weights(name).__members__
    if _PUBLISHED not in found:
        raise UserErrorException(
            f"torchvision has no {_PUBLISHED} weights of {name}, only {', '.join(found) or 'none'}: give a file as "
            "weights_path"
        )
    return str(found[_PUBLISHED].url)


def _outline(spec: ModelSpec) -> tuple[weights.State, set[str]]:
    """Make the network, to see that it can be made and that its outputs follow the number of classes."""
    try:
        expected, head = spec.outline()
    except Exception as error:  # whatever a user's class raises
        hint = ""
        if isinstance(error, TypeError) and "num_classes" in str(error):
            hint = "; the class must take num_classes, the number of outputs, as a keyword"
        raise UserErrorException(f"{spec.title} cannot be made: {type(error).__name__}: {error}{hint}") from error
    if not head:
        raise UserErrorException(
            f"{spec.title} has the same weights for 2 classes and for 3: its last layer must have num_classes outputs"
        )
    return expected, head


def _state(spec: ModelSpec, stored: Path, expected: Mapping[str, Any], head: set[str]) -> weights.State:
    """The weights in a file, under the network's names, its old head among them."""
    try:
        found = weights.plain_names(weights.read(stored))
        weights.check(found, expected, head)
    except UnusableWeights as error:
        text = str(error) if str(stored) in str(error) else f"{stored}: {error}"
        raise UserErrorException(f"the weights cannot be used for {spec.title}: {text}") from error
    return {name: value for name, value in found.items() if name in expected}
