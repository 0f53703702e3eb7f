"""What is recorded of real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from toolkit.snapshots import git

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def run(root: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgSign=false")
    done = subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    (root / "src").mkdir(parents=True)
    run(root, "init", "-q", "-b", "main")
    (root / "src/train.py").write_text("lr = 0.1\n")
    run(root, "add", ".")
    run(root, "commit", "-q", "-m", "first")
    return root


def record(folder: Path) -> git.GitRecord:
    asked = git.begin(folder)
    found = asked.result()
    assert found, asked.warning
    return found


def test_a_clean_repository(repository: Path) -> None:
    run(repository, "remote", "add", "origin", "https://me:token@example.com/team/code.git")
    asked = git.begin(repository / "src")
    commit = run(repository, "rev-parse", "HEAD")
    assert asked.result() == git.GitRecord("https://example.com/team/code.git", "main", commit, False)
    assert asked.result() == asked.result()
    assert asked.warning is None
    assert record(repository).properties() == {
        "azureml.git.repository_uri": "https://example.com/team/code.git",
        "azureml.git.branch": "main",
        "azureml.git.commit": commit,
        "azureml.git.dirty": "False",
    }


def test_changes_can_be_applied_again(repository: Path, tmp_path: Path) -> None:
    (repository / "src/latin").write_bytes(b"caf\xe9\n")
    run(repository, "add", ".")
    run(repository, "commit", "-q", "-m", "second")
    run(repository, "config", "diff.noprefix", "true")
    run(repository, "config", "diff.relative", "true")
    run(repository, "config", "color.ui", "always")
    run(repository, "config", "diff.external", "false")
    (repository / "src/train.py").write_text("lr = 0.2\n")
    (repository / "src/latin").write_bytes(b"caf\xe8\n")
    (repository / "weights").write_bytes(bytes(range(256)))
    run(repository, "add", "weights")
    (repository / "new größe.txt").touch()
    found = record(repository / "src")
    assert found.dirty
    assert found.untracked == ("new größe.txt",)
    assert found.untracked_count == 1

    clone = tmp_path / "clone"
    run(tmp_path, "clone", "-q", str(repository), str(clone))
    subprocess.run(["git", "apply"], cwd=clone, input=found.diff, check=True)
    for name in ("src/train.py", "src/latin", "weights"):
        assert (clone / name).read_bytes() == (repository / name).read_bytes()


def test_an_untracked_file_alone_is_dirty(repository: Path) -> None:
    (repository / "notes").touch()
    found = record(repository)
    assert (found.dirty, found.untracked, found.diff) == (True, ("notes",), b"")


def test_many_untracked_files_are_counted(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "UNTRACKED_LIMIT", 2)
    for number in range(5):
        (repository / f"n{number}").touch()
    found = record(repository)
    assert (found.untracked, found.untracked_count) == (("n0", "n1"), 5)


def test_a_long_diff_is_cut_after_a_line(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "DIFF_LIMIT", 100_000)
    (repository / "src/train.py").write_text("".join(f"line {number}\n" for number in range(50_000)))
    asked = git.begin(repository)
    found = asked.result()
    assert found
    assert found.diff_truncated
    assert 90_000 < len(found.diff) <= 100_000
    assert found.diff.endswith(b"\n")
    assert asked.warning
    assert "its beginning is recorded" in asked.warning
    assert (found.dirty, found.branch) == (True, "main")


def test_outside_of_a_repository(tmp_path: Path) -> None:
    asked = git.begin(tmp_path)
    assert asked.result() is None
    assert asked.warning is None
    assert git.begin(tmp_path / "missing").result() is None


def test_without_git(repository: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    asked = git.begin(repository)
    assert asked.result() is None
    assert asked.warning is None


def test_a_repository_without_commits(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q", "-b", "trunk")
    (tmp_path / "train.py").touch()
    asked = git.begin(tmp_path)
    assert asked.result() == git.GitRecord(None, "trunk", None, True, untracked=("train.py",), untracked_count=1)
    assert asked.warning is None
    assert record(tmp_path).properties() == {"azureml.git.branch": "trunk", "azureml.git.dirty": "True"}


def test_a_detached_head(repository: Path) -> None:
    commit = run(repository, "rev-parse", "HEAD")
    run(repository, "checkout", "-q", "--detach")
    assert record(repository) == git.GitRecord(None, None, commit, False)


def test_a_worktree(repository: Path, tmp_path: Path) -> None:
    run(repository, "worktree", "add", "-q", "-b", "side/topic", str(tmp_path / "tree"))
    assert record(tmp_path / "tree/src").branch == "side/topic"


def test_a_broken_repository(repository: Path) -> None:
    (repository / ".git/HEAD").write_text("nonsense")
    asked = git.begin(repository)
    assert asked.result() is None
    assert asked.warning
    assert "not a git repository" in asked.warning


def test_lost_objects(repository: Path) -> None:
    shutil.rmtree(repository / ".git/objects")
    (repository / ".git/objects").mkdir()
    asked = git.begin(repository)
    found = asked.result()
    assert found
    assert (found.branch, found.diff) == ("main", b"")
    assert asked.warning
    assert "git diff of the sources is not recorded" in asked.warning


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a repository to somebody else")
def test_the_repository_of_somebody_else(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(repository.parent))  # git's settings may call every folder safe
    monkeypatch.delenv("SUDO_UID", raising=False)
    for path in (repository, repository / ".git"):
        os.chown(path, 65534, 65534)
    asked = git.begin(repository)
    assert asked.result() is None
    assert asked.warning
    assert "dubious ownership" in asked.warning


def test_a_hook_that_runs_us_does_not_decide(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    run(other, "init", "-q", "-b", "elsewhere")
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    assert record(repository).branch == "main"


def test_a_slow_diff_is_given_up(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "TIMEOUT", 2.0)
    run(repository, "config", "filter.slow.clean", "sleep 600; cat")
    (repository / ".gitattributes").write_text("*.py filter=slow\n")
    (repository / "src/train.py").write_text("lr = 0.2\n")
    asked = git.begin(repository)
    found = asked.result()
    assert found
    assert (found.branch, found.diff) == ("main", b"")
    assert asked.warning
    assert "no answer within 2 seconds" in asked.warning


def test_nothing_is_written_into_the_repository(repository: Path) -> None:
    index = (repository / ".git/index").stat()
    (repository / "src/train.py").touch()
    record(repository)
    assert (repository / ".git/index").stat().st_mtime_ns == index.st_mtime_ns


ADDRESSES = {
    "https://example.com/a.git": "https://example.com/a.git",
    "https://me@example.com/a.git": "https://example.com/a.git",
    "https://me:p@ss@example.com:8443/a.git": "https://example.com:8443/a.git",
    "https://me:p/ss@example.com/a.git": "https://example.com/a.git",
    "https://example.com/a@1.git": "https://example.com/a@1.git",
    "https://example.com:8443/a@1.git": "https://example.com:8443/a@1.git",
    "https://example.com/a.git?token=x#y": "https://example.com/a.git",
    "HTTP://me:x@example.com/a": "HTTP://example.com/a",
    "ssh://git@example.com/a.git": "ssh://git@example.com/a.git",
    "ssh://git:x@example.com:22/a.git": "ssh://git@example.com:22/a.git",
    "git@example.com:team/a.git": "git@example.com:team/a.git",
    "helper::https://me:x@example.com/a": "helper::https://example.com/a",
    "../a.git": "../a.git",
}


@pytest.mark.parametrize(("uri", "shown"), ADDRESSES.items())
def test_no_address_shows_a_secret(uri: str, shown: str) -> None:
    assert git.without_credentials(uri) == shown
