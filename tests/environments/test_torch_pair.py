from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig import torch_pair
from toolkit.environments import uv

CHECK = """
import torch, torchvision
from torchvision.io import decode_png, encode_png
from torchvision.ops import nms
boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]])
print(torchvision.__version__, nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist())
image = torch.randint(0, 255, (3, 8, 8), dtype=torch.uint8)
assert (decode_png(encode_png(image)) == image).all()
"""


@pytest.mark.skipif(bool(torch_pair.why_not()), reason=torch_pair.why_not())
def test_the_pair_of_the_rig_works(tmp_path: Path) -> None:
    wheel = torch_pair.make(tmp_path / "pair")
    target = tmp_path / "site"
    words = ["install", "-q", "--target", str(target), "--python", sys.executable, "torch", str(wheel)]
    words += ["--find-links", str(wheel.parent)]
    subprocess.run([uv.executable(), "pip", *words], env=uv.environment(), check=True)
    done = subprocess.run(
        [sys.executable, "-c", CHECK], env={"PYTHONPATH": str(target)}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split(" ", 1) == [wheel.name.split("-")[1], "[1, 2]\n"]
