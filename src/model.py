"""The network of the first training job."""

import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    """A small LeNet-style network for 32x32 colour images in ten classes: 62,006 parameters.

    In: Nx3x32x32, float, pixel values in [0, 1]. Out: Nx10 logits (no softmax: the loss brings its own).

        3x32x32 conv→ 6x28x28 pool→ 6x14x14 conv→ 16x10x10 pool→ 16x5x5 = 400 → 120 → 84 → 10

    The architecture is that of PyTorch's CIFAR-10 tutorial, which Azure Machine Learning's "Train your
    first ML model" uses too; it goes back to LeNet-5 (LeCun et al., 1998).
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, kernel_size=5)
        self.conv2 = nn.Conv2d(6, 16, kernel_size=5)
        self.pool = nn.MaxPool2d(kernel_size=2)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        # flatten, not view: view raises on channels_last input, whose memory is not in N, C, H, W order.
        x = x.flatten(1)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)
