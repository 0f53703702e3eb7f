"""An epoch of a plain torchvision loop, as tutorials write it. `train(**request)`: see benchmarks/vision/systems.py."""

import torch
from parts import RATE, Clock, loader, network, optimizer
from serve import serve
from torch import nn


def train(images, order, batch, size, name, device, cold=False, noise=0.0, synthetic=False):
    """Images a second, and the mean loss.

    Args:
        noise: added to the normalized pixels, times a normal number.
        synthetic: one batch that is on the device already, again and again: the network's own limit.
    """
    net, criterion, batches = network(name).to(device), nn.CrossEntropyLoss(), loader(images, batch, order)
    steps, losses = optimizer(net.parameters(), RATE), []
    if synthetic:
        batches = [[each.to(device) for each in next(iter(batches))]] * len(batches)
    generator = torch.Generator().manual_seed(0)
    net.train()
    clock = Clock(len(batches), batch, device, cold)
    for pixels, labels in batches:
        pixels, labels = pixels.to(device), labels.to(device)
        if noise:
            pixels = pixels + noise * torch.randn(pixels.shape, generator=generator)
        steps.zero_grad()
        loss = criterion(net(pixels), labels)
        loss.backward()
        steps.step()
        losses.append(loss.item())
        clock.step()
    return {"rate": clock.rate, "loss": sum(losses) / len(losses)}


serve(train)
