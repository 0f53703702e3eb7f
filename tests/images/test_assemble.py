"""Images for real: built in a real engine from a conda channel and PyPI, run in containers."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.images.making import Built, request, run, wheel
from tests.rig import base_image as base_images
from tests.rig import conda_channel, engines
from toolkit.environments.key import image_key, lock_key
from toolkit.environments.lock import Lock
from toolkit.environments.request import ImageRequest, Request
from toolkit.environments.store import Store, store
from toolkit.errors import ContainerEngineError, EnvironmentBuildError, StorageError
from toolkit.images import image as images
from toolkit.images import loading
from toolkit.images.archive import Description
from toolkit.images.bases import Base
from toolkit.images.compiler import Compilation
from toolkit.images.engine import connect

CONDA = ("python", "numpy", "greeting=1.2", "scripted")
PIP = ("pygments", "iniconfig")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images") / "home"


@pytest.fixture
def kept(home: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """One store for the tests of this module."""
    monkeypatch.setenv("TOOLKIT_HOME", str(home))
    return store()


@pytest.fixture(scope="module")
def built(home: Path, engine: str, base_image: str, channel: Path) -> Built:
    """The image that most tests look at, built once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOOLKIT_HOME", str(home))
        return Built(request(engine, base_image, channel, CONDA, PIP))


@pytest.fixture
def asked(engine: str, base_image: str, channel: Path) -> Request:
    """A request that is quickly built."""
    return request(engine, base_image, channel, ("python", "greeting=1.2"), ("iniconfig",))


def test_what_an_image_holds(built: Built, kept: Store) -> None:
    code = "import sys, numpy, greeting, iniconfig; print(sys.prefix, greeting.__version__, numpy.arange(3).sum())"
    assert built.run("python", "-c", code) == "/opt/env 1.2.0 3"
    assert built.image.python == "/opt/env/bin/python"
    assert built.run("greet") == "good day"
    assert built.run("pygmentize", "-V").startswith("Pygments version")
    assert built.run("cat", "/opt/env/bin/pygmentize").startswith("#!/opt/env/bin/python\n")
    assert built.run("sh", "-c", "echo $CONDA_PREFIX $PATH").startswith("/opt/env /opt/env/bin:/usr/local/sbin")
    assert set(built.image.seconds) >= {"base", "solve", "stage", "hash", "compile", "load"}
    lock = json.loads(built.run("cat", "/opt/env/toolkit-lock.json"))
    assert Lock.from_dict(lock).hash == built.image.lock_hash
    assert kept.lock(built.image.lock_hash).exists()


def test_all_that_is_imported_has_its_bytecode(built: Built) -> None:
    said = built.run("python", "-v", "-c", "import numpy, pygments.lexers, asyncio, greeting")
    compiled = re.findall(r"# code object from (.*)", said)
    assert len(compiled) > 100 and all("__pycache__" in one for one in compiled)


def test_installed_packages_are_whole(built: Built) -> None:
    """Every file is what its package's record says, and nothing tells of the machine that built the image."""
    code = """
import base64, csv, glob, hashlib, os
for record in glob.glob("/opt/env/lib/python3*/site-packages/*.dist-info/RECORD"):
    site = os.path.dirname(os.path.dirname(record))
    if open(os.path.join(os.path.dirname(record), "INSTALLER")).read() != "uv":
        continue
    for name, digest, size in csv.reader(open(record)):
        content = open(os.path.join(site, name), "rb").read()
        wanted = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        assert not digest or digest == "sha256=" + wanted, name
"""
    assert built.run("python", "-c", code) == ""
    assert built.run("sh", "-c", f"grep -rl {Path(os.environ['TOOLKIT_HOME']).parent} /opt/env || true") == ""
    assert built.run("sh", "-c", "ls -d /opt/env/conda-meta/*").count("\n") == 4
    assert built.run("sh", "-c", "find /opt/env -type d ! -perm 755; find /opt/env -newermt 1970-01-02") == ""


def test_a_link_script_is_told_and_not_run(built: Built, kept: Store) -> None:
    notice = "not run: bin/.scripted-post-link.sh of the conda package scripted"
    assert notice in built.log
    lock = json.loads(kept.lock(built.image.lock_hash).read_text())
    assert [one for one in lock["notices"] if one.startswith(notice)]
    assert not Path("/tmp/post-link-ran").exists()


def test_an_image_that_is_there_is_found(built: Built, kept: Store) -> None:
    assert images.find(built.request) == built.image
    again = Built(built.request)
    assert again.image == built.image and again.lines == [f"the environment is there already: {built.image.id}"]


def test_the_same_image_from_another_machine(built: Built, place: Store) -> None:
    other = Built(built.request)
    assert other.image.id == built.image.id
    assert other.megabytes_sent == 0


def test_one_package_more(built: Built, kept: Store, engine: str, base_image: str, channel: Path) -> None:
    more = Built(request(engine, base_image, channel, CONDA, (*PIP, "mergedeep")))
    assert "1 of them to be laid out" in more.log
    size = connect(engine).images.get(more.image.id).attrs["Size"]
    assert more.megabytes_sent * 1e6 < 0.02 * size
    assert more.run("python", "-c", "import mergedeep, numpy") == ""


def test_an_image_that_was_removed_is_loaded_again(asked: Request, kept: Store) -> None:
    first = Built(asked)
    connect(asked.engine).images.remove(first.image.id, force=True)
    assert images.find(asked) is None
    again = Built(asked)
    assert again.image.id == first.image.id
    assert "taking the lock that this specification came to before" in again.log
    assert "0 of them to be laid out" in again.log


def test_an_engine_that_lacks_what_it_seemed_to_have(
    kept: Store, engine: str, base_image: str, channel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where an image is removed while the next one is sent."""
    mine = wheel(tmp_path, "mine", {"mine.py": f"said = {uuid.uuid4().hex!r}"})
    asked = request(engine, base_image, channel, ("python",), (mine,))
    first = Built(asked)
    connect(asked.engine).images.remove(first.image.id, force=True)
    monkeypatch.setattr(loading, "_there", lambda client, image, base: len(image.blobs) - 1)
    again = Built(asked)
    assert "sending all of them" in again.log
    assert again.run("python", "-c", "import mine") == ""


def test_an_engine_that_wants_the_layers_of_the_base_again(
    asked: Request, kept: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = Built(asked)
    connect(asked.engine).images.remove(first.image.id, force=True)
    send = loading._send

    def refuse(client, engine, image, tag, content, there, log):  # type: ignore[no-untyped-def]
        if there:
            raise loading._Refused("not like this")
        return send(client, engine, image, tag, content, there, log)

    monkeypatch.setattr(loading, "_send", refuse)
    assert Built(asked).image.id == first.image.id


def test_a_lock_that_is_given_is_used_as_it_is(built: Built, kept: Store, engine: str, base_image: str) -> None:
    lock = Lock.from_dict(json.loads(kept.lock(built.image.lock_hash).read_text()))
    image = ImageRequest(base_image)
    given = Built(Request(image_key(lock_key(lock.hash), image), lock=lock, image=image, engine=engine))
    assert given.image.id == built.image.id
    assert "solving" not in given.log and "taking the lock that was given" in given.log


def _start(asked: Request, tmp_path: Path, log: Path) -> subprocess.Popen[bytes]:
    file = tmp_path / "request.json"
    file.write_text(json.dumps(asked.to_dict()))
    words = ["-m", "toolkit.environments.build", "--request", str(file), "--log", str(log)]
    return subprocess.Popen([sys.executable, *words])


def test_two_at_once_share_one_build(asked: Request, place: Store, tmp_path: Path) -> None:
    logs = [tmp_path / "1.txt", tmp_path / "2.txt"]
    processes = [_start(asked, tmp_path, log) for log in logs]
    assert [process.wait() for process in processes] == [0, 0]
    assert sum("to be laid out" in log.read_text() for log in logs) == 1


@pytest.mark.parametrize("moment", ["to be laid out", "Installed", "sending"])
def test_killed_at_any_moment(asked: Request, place: Store, tmp_path: Path, moment: str) -> None:
    log = tmp_path / "log.txt"
    process = _start(asked, tmp_path, log)
    deadline = time.monotonic() + 30
    while not (log.exists() and moment in log.read_text()):
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert images.find(asked) is None
    again = Built(asked)
    assert again.run("python", "-c", "import greeting, iniconfig; print(1)") == "1"
    assert not [path for path in place.building.iterdir() if path.is_dir()]


def test_a_package_with_a_file_outside_of_its_prefix(
    place: Store, engine: str, base_image: str, channel: Path, tmp_path: Path
) -> None:
    changed = conda_channel.copy(channel, tmp_path / "deep" / "channel")
    name = conda_channel.escaping(changed)
    with pytest.raises(EnvironmentBuildError, match=r"has a file named '\.\./\.\./escaped\.txt', which lies outside"):
        Built(request(engine, base_image, changed, ("python", name)))
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_corrupted_package(place: Store, engine: str, base_image: str, channel: Path, tmp_path: Path) -> None:
    changed = conda_channel.copy(channel, tmp_path / "channel")
    conda_channel.corrupt(next(changed.glob("noarch/greeting-1.2.0*")))
    with pytest.raises(EnvironmentBuildError, match="is not the one that its channel lists"):
        Built(request(engine, base_image, changed, ("python", "greeting=1.2")))


def test_a_wheel_for_another_platform(place: Store, engine: str, base_image: str, channel: Path) -> None:
    with pytest.raises(EnvironmentBuildError, match=r"uv says(.|\n)*(platform|wheels)"):
        Built(request(engine, base_image, channel, ("python",), ("pywin32==308",)))


def test_pins_that_disagree(place: Store, engine: str, base_image: str, channel: Path) -> None:
    with pytest.raises(EnvironmentBuildError, match=r"greeting==1\.2\.0"):
        Built(request(engine, base_image, channel, ("greeting=1.2",), ("greeting<1.2",)))


def test_an_engine_that_does_not_run(place: Store, asked: Request) -> None:
    away = replace(asked, engine="unix:///nonexistent.sock")
    with pytest.raises(ContainerEngineError, match="no container engine answers"):
        images.find(replace(away, key="0" * 64)) or Built(away)


def test_finding_imports_nothing_heavy(built: Built, kept: Store) -> None:
    code = (
        "import sys, json; from toolkit.images import image; from toolkit.environments.request import Request;"
        f"assert image.find(Request.from_dict(json.loads({json.dumps(built.request.to_dict())!r})));"
        "heavy = {'yaml', 'rattler', 'packaging', 'asyncio', 'docker'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(params=engines.KINDS)
def other_engine(request: pytest.FixtureRequest) -> Iterator[str]:
    needs(not engines.why_not(request.param), engines.why_not(request.param))
    with engines.start(request.param) as address:
        yield address
        connect(address).close()


def test_other_engines(built: Built, kept: Store, channel: Path, other_engine: str) -> None:
    base = base_images.ensure(other_engine)
    first = Built(request(other_engine, base, channel, ("python", "greeting=1.2"), ("iniconfig",)))
    assert first.run("python", "-c", "import greeting, iniconfig; print(1)") == "1"
    assert images.find(first.request) == first.image
    more = Built(request(other_engine, base, channel, ("python", "greeting=1.2"), ("iniconfig", "mergedeep")))
    assert more.megabytes_sent < first.megabytes_sent / 2
    assert more.run("python", "-c", "import greeting, mergedeep; print(1)") == "1"
    saved = sum(len(piece) for piece in connect(other_engine).api.get_image(more.image.id))
    assert saved > 80_000_000  # with the layers of its base


def test_the_engine_s_disk_is_full(kept: Store, built: Built, channel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(not engines.why_not("docker-current"), engines.why_not("docker-current"))
    small = Path(tempfile.mkdtemp(prefix="rig-full-"))  # short, since the engine's sockets lie below it
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=90m", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    monkeypatch.setattr("tempfile.tempdir", str(small))
    try:
        with engines.start("docker-current") as full:
            base = base_images.ensure(full)
            with pytest.raises(StorageError, match=r"cannot take the image: its disk is full, at /tmp/rig-full"):
                Built(request(full, base, channel, CONDA, PIP))
    finally:
        subprocess.run(["umount", "-l", small], check=True)
        shutil.rmtree(small, ignore_errors=True)


def test_a_base_as_it_is(kept: Store, engine: str, base_image: str, python_base_image: str) -> None:
    for base, python in ((base_image, ""), (python_base_image, "/usr/bin/python3")):
        image = ImageRequest(base)
        as_it_is = Built(Request(image_key("", image), image=image, engine=engine))
        assert as_it_is.image.python == python
        assert as_it_is.image.id == connect(engine).images.get(base).id
        assert images.find(as_it_is.request) == as_it_is.image
    assert run(engine, as_it_is.image.id, "python3", "-c", "print(1)") == "1"


def test_an_image_that_is_removed_while_the_engine_is_asked_for_its_images(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect(engine).api, "images", lambda **options: [{"Id": "sha256:" + "0" * 64}])
    assert loading.present(engine, Description(b"{}", ()), Base("some", "sha256:1", ("sha256:2",), "amd64")) == 1


def test_a_build_that_fails_leaves_no_image_of_its_first_layers(
    asked: Request, place: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    early = f"toolkit/env-unfinished:{asked.key[:12]}"

    def fail(self: Compilation) -> None:
        assert connect(asked.engine).images.get(early)
        raise EnvironmentBuildError("it failed")

    monkeypatch.setattr(loading, "present", lambda *asked: 0)  # whatever other tests have left in the engine
    monkeypatch.setattr(Compilation, "wait", fail)
    with pytest.raises(EnvironmentBuildError, match="it failed"):
        Built(asked)
    assert not connect(asked.engine).images.list(name=early)


def test_a_package_that_the_disk_has_lost_a_part_of_is_laid_out_again(asked: Request, place: Store) -> None:
    image = Built(asked).image
    connect(asked.engine).images.remove(image.id, force=True)
    for part in place.fragments.glob("*.tar"):
        os.truncate(part, part.stat().st_size - 512)
    again = Built(asked)
    assert again.image.id == image.id and "3 packages, 3 of them to be laid out" in again.log


def test_that_no_cuda_is_needed_in_the_base_is_said(
    place: Store, engine: str, base_image: str, channel: Path, tmp_path: Path
) -> None:
    cuda = wheel(tmp_path, "nvidia_cuda_runtime", {"nvidia_cuda_runtime.py": ""})
    asked = request(engine, base_image, channel, ("python",), (cuda,))
    words = "CUDA comes with the packages: the base image needs none"
    assert words in Built(replace(asked, gpu=True)).log
