"""Train PyTorch Model and what belongs to it: from a folder of labelled images to a trained and scored network.

Imports the standard library, `toolkit.inscript`, and what an environment for it has (torch, torchvision, Pillow, numpy,
PyYAML, pyarrow, matplotlib), and nothing else of the toolkit: a copy of this folder is on the path of every run.
"""

import sys

if sys.version_info < (3, 10):
    raise ImportError("toolkit.vision needs Python 3.10 or later, and this is %d.%d" % sys.version_info[:2])
