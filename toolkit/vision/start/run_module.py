"""What a submitted step starts: `run_module.py train-pytorch-model --epochs 5 …`."""

import sys

from toolkit.vision.command import main

sys.exit(main())
