"""What the tests of the training scripts share: the scripts' folder on the path, and CIFAR-10, fetched once.

The scripts belong to a run's environment, and so does torch. Where there is none, these tests skip.
"""

import os
import shutil
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCES = REPOSITORY / "src"
INSCRIPT = REPOSITORY / "toolkit" / "inscript"

sys.path.insert(0, str(SOURCES))


@pytest.fixture(scope="session")
def script_environment(tmp_path_factory):
    """Environment variables that give a script `toolkit` as a submitted run has it."""
    mount = tmp_path_factory.mktemp("mount")
    (mount / "toolkit").mkdir()
    shutil.copy(INSCRIPT / "mounted.py", mount / "toolkit" / "__init__.py")
    shutil.copytree(INSCRIPT, mount / "toolkit" / "inscript")
    home = tmp_path_factory.mktemp("home")
    return {**os.environ, "PYTHONPATH": str(mount), "TOOLKIT_HOME": str(home)}
