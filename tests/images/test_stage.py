"""Packages laid out for an image, and what comes of them on any machine. No container engine is needed."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from tests.images.making import wheel
from toolkit.environments.conda_link import checked_name
from toolkit.environments.lock import Lock, Python
from toolkit.environments.store import Store
from toolkit.errors import EnvironmentBuildError
from toolkit.images import compiler, fragments
from toolkit.images.compiler import Compilation
from toolkit.images.fragments import Entry
from toolkit.images.packages import Package, packages_of
from toolkit.images.platforms import Platform
from toolkit.images.stage import Laid, Stage

SITE = f"opt/env/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
PLATFORM = Platform(platform.machine(), "2.36")


def _lay_out(place: Store, folder: Path, *requirements: str) -> dict[str, Laid]:
    lock = Lock(PLATFORM.name, Python(platform.python_version(), "", ""), requirements="\n".join(requirements) + "\n")
    packages = packages_of(lock, PLATFORM.for_uv)
    laid = Stage(folder, lock, PLATFORM, place, [].append).lay_out(packages)
    return {package.name: laid[package.key] for package in packages}


def _content(entry: Entry) -> str:
    return entry.content.decode() if not entry.source else Path(entry.source).read_text()


def test_where_the_files_of_a_wheel_go(place: Store, tmp_path: Path) -> None:
    files = {
        "mine/__init__.py": "def main(): ...\n",
        "mine/bin/x": "x",
        "lib/__init__.py": "",
        "mine-1.0.data/data/share/mine/a.txt": "a\n",
        "mine-1.0.data/scripts/tell": "#!python\nprint(1)\n",
    }
    laid = _lay_out(place, tmp_path / "stage", wheel(tmp_path, "mine", files, "mine = mine:main"))["mine"]
    found = {entry.name: entry for entry in laid.entries}
    info = f"{SITE}/mine-1.0.dist-info"
    assert {f"{SITE}/mine/__init__.py", "opt/env/share/mine/a.txt", "opt/env/bin/mine", "opt/env/bin/tell",
            f"{SITE}/lib/__init__.py", f"{SITE}/mine/bin/x", f"{info}/RECORD"} <= set(found)  # fmt: skip
    assert f"{info}/uv_cache.json" not in found and f"{info}/direct_url.json" not in found
    for script in ("mine", "tell"):
        assert _content(found[f"opt/env/bin/{script}"]).startswith("#!/opt/env/bin/python\n")
        assert found[f"opt/env/bin/{script}"].mode == 0o755
    record = _content(found[f"{info}/RECORD"])
    assert "../../../bin/mine,sha256=" in record and "../../../share/mine/a.txt," in record
    assert str(tmp_path) not in record


def test_two_wheels_with_a_file_of_one_name(place: Store, tmp_path: Path) -> None:
    """Each has its own file, whichever of them is laid out beside the other."""
    one = wheel(tmp_path, "one", {"shared/__init__.py": "who = 1\n", "shared/one.py": ""})
    two = wheel(tmp_path, "two", {"shared/__init__.py": "who = 2\n", "shared/two.py": ""})
    laid = _lay_out(place, tmp_path / "stage", one, two)
    for name, text in (("one", "who = 1\n"), ("two", "who = 2\n")):
        found = {entry.name: entry for entry in laid[name].entries}
        assert _content(found[f"{SITE}/shared/__init__.py"]) == text


def test_a_wheel_with_a_file_outside_of_the_prefix(place: Store, tmp_path: Path) -> None:
    bad = wheel(tmp_path, "bad", {"../../../escaped.txt": "x", "bad.py": ""})
    laid = _lay_out(place, tmp_path / "deep" / "stage", bad)["bad"]  # uv leaves the file out
    assert not list(tmp_path.rglob("escaped.txt"))
    assert not any("escaped" in entry.name for entry in laid.entries)


def test_names_outside_of_the_prefix() -> None:
    for name in ("/etc/passwd", "../a", "a/../../b", "a\0"):
        with pytest.raises(EnvironmentBuildError, match="which lies outside of the environment"):
            checked_name(name, "bad 1.0")
    assert checked_name("a/..b/c", "good 1.0") == "a/..b/c"


def _compiled(entries: list[Entry], folder: Path) -> bytes:
    python = compiler.Python(sys.executable, compiler.tag_of(platform.python_version()))
    compilation = Compilation(python, {"key": entries}, folder)
    try:
        compilation.wait()
        return b"".join(compilation.blocks("key"))
    finally:
        compilation.stop()


def test_bytecode_is_the_same_from_every_folder(place: Store, tmp_path: Path) -> None:
    both = []
    for name in ("a", "another/folder"):
        laid = _lay_out(place, tmp_path / name, "pygments==2.19.1")["pygments"]
        content = b"".join(fragments.blocks(laid.entries))
        both.append((content, _compiled(laid.entries, tmp_path / name / "bytecode")))
    assert both[0] == both[1]
    assert len(both[0][1]) > 1_000_000


def test_what_is_compiled(tmp_path: Path) -> None:
    names = (
        f"{SITE}/a/__init__.py",
        f"{SITE}/a/tests/test_a.py",
        f"{SITE}/broken.py",
        "opt/env/share/x.py",
        f"{SITE}/b.txt",
    )
    entries = []
    for name in names:
        file = tmp_path / name.replace("/", "_")
        file.write_text("def broken(:" if "broken" in name else "a = {'b', 'c'}\n")
        entries.append(fragments.entry_of(name, str(file)))
    path = tmp_path / "part.tar"
    path.write_bytes(_compiled(entries, tmp_path / "bytecode"))
    tag = compiler.tag_of(platform.python_version())
    assert [name for name, _, _ in fragments.members(path)] == [f"{SITE}/a/__pycache__/__init__.{tag}.pyc"]


def test_the_keys_of_packages() -> None:
    def keys(python: str, requirements: str) -> list[str]:
        lock = Lock("Linux-x86_64", Python(python, "", ""), requirements=requirements)
        return [package.key for package in packages_of(lock, PLATFORM.for_uv)]

    two = "a==1 \\\n    --hash=sha256:00\nb[extra]==2.0 ; python_version >= '3.8' \\\n    --hash=sha256:01\n"
    found = packages_of(Lock("", Python("3.11.1", "", ""), requirements=two), PLATFORM.for_uv)
    assert [str(package) for package in found] == ["a 1", "b 2.0"]
    assert keys("3.11.1", two) != keys("3.11.2", two)
    assert keys("3.11.1", two)[0] == keys("3.11.1", "a==1 \\\n    --hash=sha256:00\n")[0]
    assert len({*keys("3.11.1", two), *keys("3.11.1", two.replace("00", "02"))}) == 3


def test_platforms() -> None:
    assert Platform("x86_64", "2.36").for_uv == "x86_64-manylinux_2_36"
    assert Platform("x86_64", "2.29").for_uv == "x86_64-manylinux_2_28"
    assert Platform("aarch64", "2.99").for_uv == "aarch64-manylinux_2_40"
    assert Platform("aarch64", "2.31").subdir == "linux-aarch64"


def test_unknown_package_fields_stay_out(place: Store) -> None:
    assert fragments.find("0" * 64, place) is None
    (place.fragments / f"{'0' * 64}.json").write_text("{half")
    assert fragments.find("0" * 64, place) is None
    assert Package("a", "1", "k").conda is None
