"""DenseNet, ResNet, and any other network: the modules that make an untrained ModelDirectory."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, get_args

from toolkit.inscript.errors import UserErrorException
from toolkit.vision.directory import UNTRAINED_MODEL, check_output
from toolkit.vision.networks import own_class

DenseNetName = Literal["densenet121", "densenet161", "densenet169", "densenet201"]
ResNetName = Literal[
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]
StrPath = str | os.PathLike[str]


def densenet(
    output_path: StrPath,
    model_name: DenseNetName = "densenet201",
    pretrained: bool = True,
    memory_efficient: bool = False,
    weights_path: StrPath | None = None,
) -> None:
    """Make an untrained DenseNet.

    Args:
        output_path: the UntrainedModelDirectory that is written.
        model_name: which DenseNet.
        pretrained: whether training starts from weights that were trained on ImageNet; the head is always fresh.
        memory_efficient: whether activations are computed again in the backward pass: less memory, more time.
        weights_path: a file with a state dict to start from, in place of a download.

    Raises:
        UserErrorException: a parameter cannot be used, or the weights are not those of the network.
        FailedToDownloadFilesError: the pretrained weights cannot be fetched.
    """
    _one_of(model_name, get_args(DenseNetName))
    _torchvision(output_path, model_name, {"memory_efficient": memory_efficient}, pretrained, weights_path)


def resnet(
    output_path: StrPath,
    model_name: ResNetName = "resnext101_32x8d",
    pretrained: bool = True,
    zero_init_residual: bool = False,
    weights_path: StrPath | None = None,
) -> None:
    """Make an untrained ResNet.

    Args:
        output_path: the UntrainedModelDirectory that is written.
        model_name: which ResNet, ResNeXt or wide ResNet.
        pretrained: whether training starts from weights that were trained on ImageNet; the head is always fresh.
        zero_init_residual: whether the last normalisation of each residual branch starts at zero, so that each block
            starts as the identity; of no effect on weights that are given.
        weights_path: a file with a state dict to start from, in place of a download.

    Raises:
        UserErrorException: a parameter cannot be used, or the weights are not those of the network.
        FailedToDownloadFilesError: the pretrained weights cannot be fetched.
    """
    _one_of(model_name, get_args(ResNetName))
    _torchvision(output_path, model_name, {"zero_init_residual": zero_init_residual}, pretrained, weights_path)


def network(
    output_path: StrPath,
    model_name: str,
    pretrained: bool = False,
    weights_path: StrPath | None = None,
    source_directory: StrPath | None = None,
    init_params: str = "{}",
) -> None:
    """Make an untrained network of any kind: a classifier of torchvision, or a class of your own.

    Args:
        output_path: the UntrainedModelDirectory that is written.
        model_name: the name of a torchvision classifier, as in "efficientnet_b0", or "module:Class" for a class derived
            from torch.nn.Module, which takes `num_classes` as a keyword and returns N x num_classes logits.
        pretrained: whether training starts from torchvision's weights; the head is always fresh.
        weights_path: a file with a state dict to start from, in place of a download.
        source_directory: the folder of the module of your class; its Python files are kept with the model. By default
            the current folder.
        init_params: further keyword arguments of the network, as JSON: '{"width": 64}'.

    Raises:
        UserErrorException: a parameter cannot be used, or the weights are not those of the network.
        FailedToDownloadFilesError: the pretrained weights cannot be fetched.
    """
    params = _params(init_params)
    own = own_class.parse(model_name)
    if own is None:
        if source_directory is not None:
            raise UserErrorException(
                f"source_directory is for a class of your own, as in 'module:Class', and model_name is '{model_name}'"
            )
        _torchvision(output_path, model_name, params, pretrained, weights_path)
        return
    if pretrained and weights_path is None:
        raise UserErrorException(f"there are no published weights of {model_name}: give a file as weights_path")
    check_output(output_path, UNTRAINED_MODEL)
    from toolkit.vision.networks import making

    making.write_own(output_path, *own, params, Path(os.path.abspath(source_directory or ".")), weights_path)


def _torchvision(
    output_path: StrPath, name: str, params: dict[str, Any], pretrained: bool, weights_path: StrPath | None
) -> None:
    check_output(output_path, UNTRAINED_MODEL)
    from toolkit.vision.networks import making  # with torch, which who only asks for the parameters need not have

    making.write_torchvision(output_path, name, params, pretrained, weights_path)


def _params(text: str) -> dict[str, Any]:
    try:
        params = json.loads(text)
    except ValueError as error:
        raise UserErrorException(f"init_params is no JSON ({error}): write it as in '{{\"width\": 64}}'") from error
    if not isinstance(params, dict):
        raise UserErrorException(f"init_params must be a JSON object, as in '{{\"width\": 64}}', and it is {text}")
    if taken := {"num_classes", "weights"} & set(params):
        raise UserErrorException(
            f"init_params has {', '.join(sorted(taken))}: the number of classes comes from the training data, and "
            "weights from pretrained or weights_path"
        )
    return params


def _one_of(name: str, choices: tuple[str, ...]) -> None:
    if name not in choices:
        raise UserErrorException(f"model_name '{name}' is none of {', '.join(choices)}")
