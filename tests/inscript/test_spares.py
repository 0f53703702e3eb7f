"""Working copies that go from one run to the next: what a script touched never does."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.inscript import spares, workcopy
from toolkit.snapshots.take import take


class Copies:
    """A snapshot, and working copies of it one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        source = folder / "source"
        (source / "package").mkdir(parents=True)
        (source / "train.py").write_text("print(1)")
        (source / "package" / "ümläut.py").write_text("x = 1")
        (source / "tool.sh").write_text("#!/bin/sh\n")
        (source / "tool.sh").chmod(0o755)
        os.symlink("train.py", source / "link.py")
        self.store, self.spares = str(folder / "store"), str(folder / "spares")
        self.id = take(source, Path(self.store), limit_bytes=0).id
        self._count = 0

    def run(self, script: Callable[[Path], object] = lambda work: None) -> Path:
        """What a launcher does for a script, around `script`; gives the working copy as the script has found it."""
        self._count += 1
        work = self.folder / f"run-{self._count}" / "work"
        work.parent.mkdir()
        taken = spares.take(self.spares, self.id, str(work))
        workcopy.materialise(self.store, self.id, str(work), keep=taken)
        time.sleep(0.05)
        started = time.time()
        time.sleep(0.02)
        found = {str(path.relative_to(work)): path.read_text() for path in work.rglob("*") if path.is_file()}
        assert found == {
            "train.py": "print(1)",
            "link.py": "print(1)",
            "package/ümläut.py": "x = 1",
            "tool.sh": "#!/bin/sh\n",
        }
        assert os.access(work / "tool.sh", os.X_OK) and not os.access(work / "train.py", os.X_OK)
        script(work)
        spares.keep(self.spares, self.store, self.id, str(work), started)
        workcopy.leave_only_new(self.store, self.id, str(work))
        return work


@pytest.fixture
def copies(tmp_path: Path) -> Copies:
    return Copies(tmp_path)


def kept(copies: Copies) -> set[str]:
    root = Path(copies.spares, copies.id)
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_the_next_run_has_the_very_files(copies: Copies) -> None:
    inodes: list[int] = []
    for _ in range(2):
        work = copies.run(lambda work: inodes.append(os.stat(work / "train.py").st_ino))
        assert not [*work.iterdir()]
    assert inodes[0] == inodes[1]
    assert kept(copies) == {"train.py", "package/ümläut.py", "tool.sh"}


def rewrite_in_secret(path: Path) -> None:
    """Change a file so that its size and its time are as before."""
    before = os.stat(path)
    path.write_text("print(2)")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "touch",
    [
        lambda path: path.write_text("print(2)"),
        rewrite_in_secret,
        lambda path: path.chmod(0o755),
        lambda path: os.link(path, path.parent / "outputs.py"),
        lambda path: path.unlink(),
        lambda path: path.rename(path.parent / "moved.py"),
    ],
)
def test_what_the_script_touched_is_made_anew(copies: Copies, touch: Callable[[Path], object]) -> None:
    copies.run(lambda work: touch(work / "train.py"))
    assert kept(copies) == {"package/ümläut.py", "tool.sh"}
    copies.run()  # it looks at each file


def test_a_folder_that_became_a_link_is_left_alone(copies: Copies, tmp_path: Path) -> None:
    def replace(work: Path) -> None:
        (tmp_path / "mine").mkdir()
        (work / "package").rename(tmp_path / "mine" / "package")
        os.symlink(tmp_path / "mine" / "package", work / "package")

    copies.run(replace)
    assert (tmp_path / "mine" / "package" / "ümläut.py").exists()
    assert kept(copies) == {"train.py", "tool.sh"}


def test_two_runs_at_once_have_files_of_their_own(copies: Copies) -> None:
    copies.run()
    copies.run(lambda work: copies.run(lambda inner: (inner / "train.py").write_text("print(2)")))
    copies.run()


def test_only_a_few_are_kept(copies: Copies, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / "source" / "train.py").write_text(f"print({number})")
        copies.id = take(tmp_path / "source", Path(copies.store), limit_bytes=0).id
        work = tmp_path / f"w{number}"
        workcopy.materialise(copies.store, copies.id, str(work))
        spares.keep(copies.spares, copies.store, copies.id, str(work), time.time() + 1)
    assert len(os.listdir(copies.spares)) == spares.KEPT and copies.id in os.listdir(copies.spares)
