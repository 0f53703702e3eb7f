"""`first_step_plain.py IMAGES`: the first step of a plain torchvision loop, in the DataLoader's own order."""

import os
import sys

from parts import WORKERS, dataset, network, optimizer
from torch.nn import functional as F
from torch.utils.data import DataLoader

net = network("resnet18")
steps = optimizer(net.parameters())
pixels, labels = next(iter(DataLoader(dataset(sys.argv[1]), 16, shuffle=True, num_workers=WORKERS)))
F.cross_entropy(net(pixels), labels).backward()
steps.step()
os._exit(0)
