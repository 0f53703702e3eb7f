"""What the tests of the training scripts share: the scripts' folder on the path, and CIFAR-10, fetched once.

The scripts belong to a run's environment, and so does torch. Where there is none, these tests skip.
"""

import os
import shutil
import subprocess
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


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """A data folder with the real CIFAR-10: TOOLKIT_DATA's where it is set, else one for this session."""
    import cifar10

    folder = tmp_path_factory.mktemp("data")
    if os.environ.get("TOOLKIT_DATA"):
        folder = Path(os.environ["TOOLKIT_DATA"])
    command = [sys.executable, "-c", "import cifar10; cifar10.fetch()"]
    environment = {**os.environ, "PYTHONPATH": str(SOURCES), "TOOLKIT_DATA": str(folder)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if "DataError: CIFAR-10 could not be fetched" in result.stderr:
        pytest.skip(result.stderr[result.stderr.index("CIFAR-10 could not") :])
    assert result.returncode == 0, result.stderr
    assert (folder / "cifar10" / cifar10.FOLDER).is_dir()
    return folder
