"""An epoch with timm's dataset, loader, network and optimizer, in a loop like that of its training script.

What is not given is that script's default. `train(**request)`: see benchmarks/vision/systems.py.
"""

import timm
import torch
from parts import HALF, MOMENTUM, RATE, WEIGHT_DECAY, WORKERS, Clock, folder, network
from serve import serve
from timm.data import create_dataset, create_loader
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter


def train(images, order, batch, size, name, device, cold=False):
    """Images a second. `order` is not used: the loader shuffles by itself."""
    torch.manual_seed(1)
    net = network(name) if name == "small" else timm.create_model(name, num_classes=10)
    net.to(device)
    optimizer = create_optimizer_v2(net, "sgd", lr=RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY)
    batches = create_loader(
        create_dataset("", root=str(folder(images)), split="train", is_training=True),
        input_size=(3, size, size), batch_size=batch, is_training=True, no_aug=True, interpolation="random",
        mean=HALF, std=HALF, num_workers=WORKERS, device=torch.device(device),
    )  # fmt: skip
    criterion, losses = torch.nn.CrossEntropyLoss(), AverageMeter()
    net.train()
    clock = Clock(len(batches), batch, device, cold)
    for pixels, labels in batches:
        loss = criterion(net(pixels), labels)
        losses.update(loss.item(), len(pixels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        clock.step()
    return {"rate": clock.rate}


serve(train)
