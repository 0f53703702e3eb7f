"""The tutorial's loop at batches of 4 on a CPU: blocks with `run.log` every batch, with a bare write, with nothing.

Its batches come as the tutorial has them, from a DataLoader with two workers, or lie in memory as in src/train.py.
"""

import random
import time

import torch
from serve import serve
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from model import Net
from toolkit import Run

BATCH, IMAGES = 4, 4096
torch.manual_seed(0)
torch.set_num_threads(1)  # as train.py does for small batches
images = torch.rand(IMAGES, 3, 32, 32)
labels = torch.randint(0, 10, (IMAGES,))
preloaded = list(zip(images.split(BATCH), labels.split(BATCH)))
loader = DataLoader(TensorDataset(images, labels), BATCH, shuffle=True, num_workers=2)
net, criterion = Net(), nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(net.parameters(), lr=0.001, momentum=0.9, fused=True)
run = Run.get_context(allow_offline=False)
bare = open("bare.jsonl", "w", buffering=1)  # noqa: SIM115
LINE = '{"kind":"metric","name":"loss","step":1234,"time":1790000000.123456,"value":0.12345678901234}\n'
WAYS = {"run.log": run.log, "bare write": lambda name, value: bare.write(LINE), "nothing": None}


def forever(epoch):
    """The batches of one epoch after the other."""
    while True:
        yield from epoch


SOURCES = {"DataLoader": forever(loader), "preloaded": forever(preloaded)}


def block(source, batches, log):
    """Seconds of one block. The loss is asked for in each: what is compared is the log."""
    began = time.perf_counter()
    for _ in range(batches):
        part, truth = next(source)
        optimizer.zero_grad()
        loss = criterion(net(part), truth)
        loss.backward()
        optimizer.step()
        value = loss.item()
        if log is not None:
            log("loss", value)
    return time.perf_counter() - began


def measure(source, batches, blocks):
    """Seconds of neighbouring blocks, one of each way; which comes first changes."""
    order = list(WAYS)
    found = []
    for _ in range(blocks):
        random.shuffle(order)
        found.append({way: block(SOURCES[source], batches, WAYS[way]) for way in order})
    return found


for each in SOURCES:
    measure(each, 200, 2)
serve(measure)
