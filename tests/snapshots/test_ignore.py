"""The ignore rules, compared with what the real git lists."""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from toolkit.errors import SnapshotException
from toolkit.snapshots.ignore import walk

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
Tree = dict[str, str]


def write(root: Path, tree: Tree) -> None:
    for name, content in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode("utf-8", "surrogateescape"))


@contextmanager
def nobody(folder: str) -> Iterator[None]:
    """Be nobody, to whom the folder belongs: root may read everything."""
    was = os.geteuid()
    if was == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(was)


def kept(root: Path, exclude: tuple[Path, ...] = ()) -> set[str]:
    found = walk(os.fsencode(root), [os.fsencode(path) for path in exclude])
    return {path.decode("utf-8", "surrogateescape") for path, _ in found}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


@pytest.fixture
def git_keeps(repository: Path) -> Iterator[Callable[[Tree], set[str]]]:
    """Writes a tree into an empty repository and asks git which of its files are not ignored."""

    def ask(tree: Tree) -> set[str]:
        write(repository, tree)
        command = [
            "git",
            "-c",
            "core.excludesFile=/dev/null",
            "ls-files",
            "-z",
            "--others",
            "--exclude-standard",
        ]
        listed = subprocess.run(command, cwd=repository, check=True, capture_output=True).stdout
        return set(listed.decode("utf-8", "surrogateescape").split("\0")) - {""}

    yield ask
    for path in repository.iterdir():
        if path.name != ".git":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


LIKE_GIT = {
    "comment": {".gitignore": "#a\n", "#a": "", "a": ""},
    "escaped hash": {".gitignore": "\\#a\n", "#a": "", "a": ""},
    "escaped bang": {".gitignore": "\\!a\n", "!a": "", "a": ""},
    "trailing spaces": {".gitignore": "a  \nb\\ \nc\\  \n", "a": "", "b ": "", "b": "", "c ": "", "c  ": ""},
    "trailing tab": {".gitignore": "a\t\n", "a": "", "a\t": ""},
    "leading space": {".gitignore": " a\n", "a": "", " a": ""},
    "CRLF": {".gitignore": "a\r\nb/\r\n!c\r\n\r\n", "a": "", "b/x": "", "c": ""},
    "no newline at the end": {".gitignore": "a\r", "a": "", "a\r": ""},
    "byte order mark": {".gitignore": "\ufeffa\n", "a": "", "b": ""},
    "name anywhere": {".gitignore": "a\n", "a": "", "d/a": "", "d/a2": "", "e/a/b": ""},
    "anchored": {".gitignore": "/a\nd/e\n", "a": "", "d/a": "", "d/e": "", "f/d/e": ""},
    "directory": {".gitignore": "a/\n", "a": "", "d/a/x": "", "e/a": ""},
    "stars": {".gitignore": "*.log\nd/*.txt\n", "a.log": "", "d/b.log": "", "d/c.txt": "", "d/e/c.txt": ""},
    "leading double star": {".gitignore": "**/a/b\n", "a/b": "", "x/a/b": "", "x/y/a/b": "", "xa/b": ""},
    "trailing double star": {".gitignore": "a/**\n!a/k\n", "a/k": "", "a/l": "", "a/d/e": "", "b/a/k": ""},
    "inner double star": {".gitignore": "a/**/b\n", "a/b": "", "a/x/b": "", "a/x/y/b": "", "a/xb": ""},
    "double star in a name": {".gitignore": "a**b\nc**/d\n", "axb": "", "a/b": "", "cx/d": "", "cx/y/d": ""},
    "only stars": {".gitignore": "*\n!*/\n!*.py\n", "a": "", "b.py": "", "d/c.py": "", "d/e": ""},
    "all but one": {".gitignore": "/*\n!/src\n", "a": "", "src/b": "", "c/d": ""},
    "pruned": {".gitignore": "d/\n!d/a\n", "d/a": "", "d/b": ""},
    "not pruned": {".gitignore": "d/*\n!d/a\n", "d/a": "", "d/b": ""},
    "deeper wins": {
        ".gitignore": "*.log\n",
        "d/.gitignore": "!a.log\n",
        "d/a.log": "",
        "d/b.log": "",
        "e/a.log": "",
    },
    "deeper in a pruned": {".gitignore": "d\n", "d/.gitignore": "!a\n", "d/a": ""},
    "nested anchored": {"d/.gitignore": "/a\ne/f\n", "a": "", "d/a": "", "d/x/a": "", "d/e/f": "", "e/f": ""},
    "classes": {
        ".gitignore": "[ab]1\n[!ab]2\n[^ab]3\n[a-c]4\n",
        **{f"{c}{n}": "" for c in "abcd" for n in "1234"},
    },
    "odd classes": {
        ".gitignore": "[]a]1\n[!]a]2\n[a-]3\n[z-a]4\n",
        "]1": "",
        "b2": "",
        "-3": "",
        "z4": "",
        "b4": "",
    },
    "escapes in a class": {".gitignore": "[a\\]b]1\n[\\-x]2\n", "]1": "", "a1": "", "-2": "", "\\2": ""},
    "named classes": {
        ".gitignore": "[[:digit:]x]1\n[[:no:]]2\n[[:]3\n",
        "01": "",
        "x1": "",
        "n2": "",
        ":3": "",
    },
    "broken class": {".gitignore": "[a\n[\na[\n", "[a": "", "a": "", "[": "", "a[": ""},
    "backslash at the end": {".gitignore": "a\\\nb\n", "a": "", "a\\": "", "b": ""},
    "escaped wildcards": {".gitignore": "\\*\na\\?\n\\[b\n", "*": "", "a?": "", "ab": "", "[b": "", "x": ""},
    "unicode": {
        ".gitignore": "größe.txt\n数据/\n?.md\n",
        "größe.txt": "",
        "数据/x": "",
        "é.md": "",
        "e.md": "",
    },
    "not UTF-8": {".gitignore": "\udcff*\n", "\udcffa": "", "a": ""},
    "slashes alone": {".gitignore": "/\n//\n!\n!/\n**/\n", "a": "", "d/b": ""},
    "a directory as ignore file": {".gitignore/a": "a\n", "a": ""},
}


@needs_git
@pytest.mark.parametrize("tree", LIKE_GIT.values(), ids=LIKE_GIT.keys())
def test_the_same_files_as_git(tree: Tree, tmp_path: Path, git_keeps: Callable[[Tree], set[str]]) -> None:
    write(tmp_path, tree)
    assert kept(tmp_path) == git_keeps(tree)


def random_tree(seed: int) -> Tree:
    """A small tree with ignore files whose patterns hit its names often."""
    rng = random.Random(seed)
    names = ["a", "b", "ab", "a.b", "b.a", "-", "]", "a b", "ba", "é", "\\", "[", "!a", "#b", "a "]
    pieces = [
        "a",
        "b",
        "*",
        "**",
        "?",
        "/",
        ".",
        "[ab]",
        "[!a]",
        "[^b-]",
        "[]-]",
        "\\",
        "-",
        " ",
        "é",
        "[a-b",
        "]",
    ]
    pieces += ["[[:alpha:]]", "**/", "/**", "a/", "/b", "[\\]b]"]
    tree: Tree = {}
    for _ in range(rng.randint(3, 14)):
        parts = [rng.choice(names) for _ in range(rng.randint(1, 3))]
        parents = {"/".join(parts[:end]) for end in range(1, len(parts))}
        path = "/".join(parts)
        if not parents & tree.keys() and not any(other.startswith(path + "/") for other in tree):
            tree[path] = ""
    directories = {path.rsplit("/", 1)[0] + "/" for path in tree if "/" in path}
    for directory in ["", *sorted(directories)]:
        if not directory or rng.random() < 0.3:
            lines = [
                rng.choice(["", "", "", "!", "/"])
                + "".join(rng.choice(pieces) for _ in range(rng.randint(1, 4)))
                + rng.choice(["", "", "", "/", " ", "\r"])
                for _ in range(rng.randint(1, 5))
            ]
            tree[directory + ".gitignore"] = "\n".join(lines)
    return tree


@needs_git
@pytest.mark.parametrize("seed", range(150))
def test_the_same_files_as_git_in_random_trees(
    seed: int, tmp_path: Path, git_keeps: Callable[[Tree], set[str]]
) -> None:
    tree = random_tree(seed)
    write(tmp_path, tree)
    assert kept(tmp_path) == git_keeps(tree)


def test_amlignore_replaces_gitignore_everywhere(tmp_path: Path) -> None:
    write(
        tmp_path,
        {".amlignore": "a\n", ".gitignore": "b\n", "a": "", "b": "", "d/.gitignore": "c\n", "d/c": ""},
    )
    write(tmp_path, {"e/.amlignore": "!a\nf\n", "e/a": "", "e/f": ""})
    assert kept(tmp_path) == {".amlignore", ".gitignore", "b", "d/.gitignore", "d/c", "e/.amlignore", "e/a"}


def test_a_nested_amlignore_alone_does_not_count(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "a\n", "a": "", "d/.amlignore": "b\n", "d/b": ""})
    assert kept(tmp_path) == {".gitignore", "d/.amlignore", "d/b"}


def test_parents_are_not_searched(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "*\n", ".amlignore": "*\n", "src/a": ""})
    assert kept(tmp_path / "src") == {"a"}


DEFAULTS = {
    "a.py": "",
    ".git/config": "",
    "sub/.git": "gitdir: elsewhere",
    "__pycache__/a.pyc": "",
    "sub/__pycache__/a.pyc": "",
    ".ipynb_checkpoints/a": "",
    "mlruns/0/meta.yaml": "",
    ".mypy_cache/a": "",
    ".pytest_cache/a": "",
    ".ruff_cache/a": "",
    ".DS_Store": "",
    "venv/pyvenv.cfg": "",
    "venv/lib/a": "",
    "env/conda-meta/history": "",
    "env/bin/python": "",
}


def test_defaults_leave_out_what_is_never_source(tmp_path: Path) -> None:
    write(tmp_path, DEFAULTS)
    assert kept(tmp_path) == {"a.py"}


def test_a_rule_takes_defaults_back_but_never_git(tmp_path: Path) -> None:
    write(tmp_path, {**DEFAULTS, ".gitignore": "!*\n"})
    assert kept(tmp_path) == {name for name in DEFAULTS if ".git" not in name.split("/")} | {".gitignore"}


def test_a_rule_takes_one_environment_back(tmp_path: Path) -> None:
    write(tmp_path, {**DEFAULTS, ".amlignore": "!venv/\n!mlruns\n"})
    assert kept(tmp_path) == {".amlignore", "a.py", "venv/pyvenv.cfg", "venv/lib/a", "mlruns/0/meta.yaml"}


def test_an_environment_as_source_directory_is_meant(tmp_path: Path) -> None:
    write(tmp_path, {"pyvenv.cfg": "", "train.py": ""})
    assert kept(tmp_path) == {"pyvenv.cfg", "train.py"}


def test_excluded_paths_stay_out_whatever_the_rules_say(tmp_path: Path) -> None:
    write(tmp_path, {".gitignore": "!*\n", "a": "", "d/home/b": "", "d/home2/c": ""})
    exclude = (tmp_path / "d" / "home", tmp_path.parent, tmp_path / "missing")
    assert kept(tmp_path, exclude) == {".gitignore", "a", "d/home2/c"}


def test_excluded_paths_are_found_through_links(tmp_path: Path) -> None:
    write(tmp_path, {"real/a": "", "real/home/b": ""})
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert kept(tmp_path / "link", (tmp_path / "real" / "home",)) == {"a"}
    assert kept(tmp_path / "real", (tmp_path / "link" / "home",)) == {"a"}


def test_a_linked_amlignore_counts(tmp_path: Path) -> None:
    write(tmp_path, {"shared": "a\n", "src/a": "", "src/b": ""})
    (tmp_path / "src" / ".amlignore").symlink_to("../shared")
    assert kept(tmp_path / "src") == {".amlignore", "b"}


@needs_git
def test_a_linked_gitignore_does_not_count_as_in_git(repository: Path, git_keeps: Callable[[Tree], set[str]]) -> None:
    (repository / ".gitignore").symlink_to("shared")
    assert git_keeps({"shared": "a\n", "a": ""}) == kept(repository) == {".gitignore", "shared", "a"}


def test_a_named_pipe_as_ignore_file_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".amlignore")
    write(tmp_path, {"a": ""})
    assert kept(tmp_path) == {".amlignore", "a"}


@pytest.mark.parametrize("name", ["d", ".gitignore"])
def test_what_cannot_be_read_is_named(name: str) -> None:
    with tempfile.TemporaryDirectory() as folder, nobody(folder):
        root = Path(folder)
        write(root, {"d/a": "", ".gitignore": "a\n"})
        (root / name).chmod(0)
        try:
            with pytest.raises(SnapshotException, match=rf"{re.escape(name)} cannot be read: Permission denied"):
                kept(root)
        finally:
            (root / name).chmod(0o700)
