"""A plain torchvision training of ResNet-18 with random crops and flips, and the judge of it and of ours."""

import time

import torch
from parts import WORKERS, dataset, loader, network, optimizer
from serve import serve
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms

AUGMENTATION = (transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip())


def train(images, valid, order, batch, rates, device):
    """Top-1 accuracy after the last epoch, and seconds; evaluated after each epoch, as ours is.

    Args:
        rates: the learning rate of each epoch.
    """
    began = time.perf_counter()
    net, criterion = network("resnet18").to(device), nn.CrossEntropyLoss()
    steps = optimizer(net.parameters(), rates[0])
    for epoch, rate in enumerate(rates):
        for group in steps.param_groups:
            group["lr"] = rate
        net.train()
        for pixels, labels in loader(images, batch, order, AUGMENTATION, epoch):
            pixels, labels = pixels.to(device), labels.to(device)
            steps.zero_grad()
            loss = criterion(net(pixels), labels)
            loss.backward()
            steps.step()
        top1 = accuracy(net, valid, batch, device)
    return {"top1": top1, "seconds": time.perf_counter() - began}


def judge(weights, valid, batch, device):
    """Top-1 accuracy of a state dict of ResNet-18."""
    net = network("resnet18")
    net.load_state_dict(torch.load(weights, weights_only=True))
    return {"top1": accuracy(net.to(device), valid, batch, device)}


@torch.no_grad()
def accuracy(net, valid, batch, device):
    net.eval()
    right = seen = 0
    for pixels, labels in DataLoader(dataset(valid), batch, num_workers=WORKERS):
        right += (net(pixels.to(device)).argmax(1) == labels.to(device)).sum().item()
        seen += len(labels)
    return right / seen


def measure(what, **request):
    return {"train": train, "judge": judge}[what](**request)


serve(measure)
