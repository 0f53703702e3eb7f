"""Weights of networks that the Azure ML designer wrote.

There a pretrained network kept its head for 1000 classes and got a linear layer after it; the whole was a class of the
designer's own, so each name in the state dict has a prefix, which is found by the names of the network itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch

from toolkit.vision.networks.model_spec import ModelSpec
from toolkit.vision.networks.weights import State, UnusableWeights, check, put

_IMAGENET_CLASSES = 1000


def network_of(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> State:
    """The part of the state dict that is the network's, under the network's own names."""
    prefix = _prefix(state, expected)
    return {name: state[prefix + name] for name in expected if prefix + name in state}


def trained(spec: ModelSpec, state: Mapping[str, torch.Tensor], num_classes: int) -> torch.nn.Module:
    """The trained network, with the linear layer after it where it was pretrained.

    Raises:
        UnusableWeights: the weights do not have either form.
    """
    expected, _ = spec.outline()
    own = network_of(state, expected)
    prefix = _prefix(state, expected)
    rest = {
        name: value for name, value in state.items() if not (name.startswith(prefix) and name[len(prefix) :] in own)
    }
    network = spec.construct(_IMAGENET_CLASSES if rest else num_classes)
    put(network, check(own, network.state_dict(), set()))
    if not rest:
        return network
    by_rank = {value.dim(): value for value in rest.values()}
    if len(rest) != 2 or set(by_rank) != {1, 2} or tuple(by_rank[2].shape) != (num_classes, _IMAGENET_CLASSES):
        raise UnusableWeights(
            f"beside those of {spec.title} there must be a linear layer for {num_classes} classes, and there are: "
            + ", ".join(sorted(rest)[:6])
        )
    head = torch.nn.Linear(_IMAGENET_CLASSES, num_classes)
    put(head, check({"weight": by_rank[2], "bias": by_rank[1]}, head.state_dict(), set()))
    return torch.nn.Sequential(OrderedDict(network=network, head=head))


def _prefix(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor]) -> str:
    """What stands before the network's names."""
    first = next(iter(expected))
    for name in state:
        prefix = name.removesuffix(first)
        if name.endswith(first) and all(
            prefix + other in state for other in expected if not other.endswith("num_batches_tracked")
        ):
            return prefix
    raise UnusableWeights(f"no prefix makes the names those of the network ({first} …)")
