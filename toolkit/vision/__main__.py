import sys

from toolkit.vision.command import main

sys.exit(main())
