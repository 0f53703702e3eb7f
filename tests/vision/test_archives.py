"""Archives: what is in them is unpacked, and nothing of those that cannot be trusted is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import re
import shutil
import stat
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import needs
from tests.rig import pictures
from toolkit.vision.data.archives import Limits, unpack
from toolkit.vision.errors import InvalidDatasetError, ModuleOutOfMemoryError

CONTENT = {"cat/1.png": b"first", "cat/2.png": b"", "dog/ünï côde.png": b"third", "deep/er/and/er.txt": b"x" * 70_000}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tree(folder: Path, content: dict[str, bytes]) -> Path:
    for name, data in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w", **options: int) -> Path:
    """A tar of files (name and content) and of headers as they are."""
    with tarfile.open(path, mode, **options) as file:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return path


def header(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def zipped(path: Path, content: dict[str, bytes], mode: int = 0) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in content.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.external_attr = 3, mode << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, data)
    return path


def refused(archive: Path, reason: str, limits: Limits | None = None) -> str:
    """Unpack an archive that must be refused; nothing may stay of it. The whole message."""
    folder = archive.parent / "unpacked"
    before = sorted(archive.parent.rglob("*"))
    for hold in (None, lambda name: name.endswith(".png")):
        with pytest.raises(InvalidDatasetError, match=reason) as caught:
            unpack(archive, folder, "Input dataset", limits=limits, hold=hold)
        assert sorted(archive.parent.rglob("*")) == before
    assert archive.name in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_tars_of_gnu_tar_are_unpacked(tmp_path: Path, suffix: str) -> None:
    content = {**CONTENT, f"{'long ' * 30}/{'name' * 40}.png": b"long"}
    source = tree(tmp_path / "source", content)
    (source / "empty folder").mkdir()
    archive = tmp_path / f"a{suffix}"
    subprocess.run(["tar", "--auto-compress", "-cf", archive, "-C", source, "."], check=True)
    held = unpack(archive, tmp_path / "unpacked", "Input dataset")
    assert held == {}
    assert files(tmp_path / "unpacked") == content
    assert (tmp_path / "unpacked" / "empty folder").is_dir()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_is_unpacked(tmp_path: Path, form: int) -> None:
    content = {**CONTENT, f"{'p' * 90}/{'n' * 90}.png": b"in two fields"}
    archive = tar(tmp_path / "a.tar", *content.items(), format=form)
    unpack(archive, tmp_path / "unpacked", "Input dataset")
    assert files(tmp_path / "unpacked") == content


def test_zips_are_unpacked(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {**CONTENT, "empty/": b"", "a\\b.png": b"from Windows"})
    unpack(archive, tmp_path / "unpacked", "Input dataset")
    assert files(tmp_path / "unpacked") == {**CONTENT, "a/b.png": b"from Windows"}
    assert (tmp_path / "unpacked" / "empty").is_dir()


def test_files_get_the_rights_of_new_files(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", CONTENT, stat.S_IFREG | 0o6777)
    unpack(archive, tmp_path / "unpacked", "Input dataset")
    new = tmp_path / "new"
    new.touch()
    assert {os.stat(tmp_path / "unpacked" / name).st_mode for name in CONTENT} == {new.stat().st_mode}


@pytest.mark.parametrize(
    "make", [lambda path: tar(path / "a.tar", *CONTENT.items()), lambda path: zipped(path / "a.zip", CONTENT)]
)
def test_what_is_held_is_not_written(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    held = unpack(make(tmp_path), tmp_path / "unpacked", "Input dataset", hold=lambda name: name.endswith(".png"))
    assert {**held, **files(tmp_path / "unpacked")} == CONTENT
    assert sorted(held) == sorted(name for name in CONTENT if name.endswith(".png"))


def test_too_much_to_hold_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.vision.data.archives._HELD_IN_ALL", 8)
    archive = tar(tmp_path / "a.tar", *CONTENT.items())
    assert unpack(archive, tmp_path / "unpacked", "Input dataset", hold=lambda name: True) == {}
    assert files(tmp_path / "unpacked") == CONTENT


def test_large_files_go_through_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.vision.data.archives._AT_ONCE", 4)
    for archive in (tar(tmp_path / "a.tar.gz", *CONTENT.items(), mode="w:gz"), zipped(tmp_path / "a.zip", CONTENT)):
        folder = tmp_path / archive.name.replace(".", "")
        unpack(archive, folder, "Input dataset")
        assert files(folder) == CONTENT


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"cat/1.png": b"1", "__MACOSX/cat/._1.png": b"2"})
    unpack(archive, tmp_path / "unpacked", "Input dataset")
    assert files(tmp_path / "unpacked") == {"cat/1.png": b"1"}


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "a/..", "/etc/out.png", "C:/out.png", "a/../b.png"])
def test_names_that_lead_outside_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "t").mkdir()
    (tmp_path / "z").mkdir()
    reason = "leads outside of it|is an absolute name"
    refused(tar(tmp_path / "t" / "a.tar", ("good.png", b"1"), (name, b"2")), reason)
    refused(zipped(tmp_path / "z" / "a.zip", {"good.png": b"1", name: b"2"}), reason)


def test_names_of_windows_that_lead_outside_are_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", {"..\\out.png": b"2"}), "leads outside")


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../../out", "../..", "a/../../../out"])
def test_links_that_leave_are_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    refused(tar(tmp_path / "a.tar", ("good.png", b"1"), header("cat/link.png", kind, target)), "is a link to")


def test_a_link_in_a_zip_that_leaves_is_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", {"link.png": b"../../etc/passwd"}, stat.S_IFLNK | 0o777), "is a link to")


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    archive = tar(tmp_path / "a.tar", header("d", tarfile.SYMTYPE, str(outside)), ("d/x.png", b"1"))
    refused(archive, "is a link to")
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("hold", [None, lambda name: True])
def test_links_to_files_inside_become_those_files(tmp_path: Path, hold: Callable[[str], bool] | None) -> None:
    archive = tar(
        tmp_path / "a.tar", header("cat/early.png", tarfile.SYMTYPE, "../dog/1.png"), ("dog/1.png", b"dog"),
        header("dog/hard.png", tarfile.LNKTYPE, "dog/1.png"), header("dog/2nd.png", tarfile.SYMTYPE, "hard.png"),
        header("dangling.png", tarfile.SYMTYPE, "nothing"), header("round.png", tarfile.SYMTYPE, "round.png"),
        header("folder", tarfile.SYMTYPE, "dog"),
    )  # fmt: skip
    held = unpack(archive, tmp_path / "unpacked", "Input dataset", hold=hold)
    found = {**held, **files(tmp_path / "unpacked")}
    assert found == dict.fromkeys(["cat/early.png", "dog/1.png", "dog/hard.png", "dog/2nd.png"], b"dog")
    assert not any(path.is_symlink() for path in (tmp_path / "unpacked").rglob("*"))


@pytest.mark.parametrize("kind", [tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE])
def test_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    refused(tar(tmp_path / "a.tar", ("good.png", b"1"), header("bad.png", kind)), "neither a file nor a folder")


@pytest.mark.parametrize(
    "names", [["a.png", "a.png"], ["a/x.png", "./a//x.png"], ["a.png", "a.png/b.png"], ["a.png/b/c.png", "a.png"]]
)
def test_names_that_clash_are_refused(tmp_path: Path, names: list[str]) -> None:
    refused(tar(tmp_path / "a.tar", *((name, b"1") for name in names)), "twice")


def test_a_link_onto_a_file_is_refused(tmp_path: Path) -> None:
    link = header("b.png", tarfile.SYMTYPE, "a.png")
    refused(tar(tmp_path / "a.tar", ("a.png", b"1"), link, ("b.png", b"2")), "twice")


def test_names_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    refused(tar(tmp_path / "a.tar", ("caf\udce9.png", b"1"), format=tarfile.GNU_FORMAT), "no valid UTF-8")
    archive = zipped(tmp_path / "a.zip", {"é.png": b"1"})
    archive.write_bytes(archive.read_bytes().replace("é".encode(), b"\xe9\xe9"))
    (tmp_path / "a.tar").unlink()
    refused(archive, "utf-8")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    refused(tar(tmp_path / "a.tar", (f"{'x' * 300}.txt", b"1")), "cannot be the name of a file")


def test_a_bomb_is_refused_while_it_goes_off(tmp_path: Path) -> None:
    limits = Limits(ratio=20, free_bytes=1 << 20)
    message = refused(zipped(tmp_path / "a.zip", {"a.bmp": bytes(30 << 20)}), "looks like a bomb", limits)
    assert "20 times its own size" in message
    (tmp_path / "a.zip").unlink()
    refused(tar(tmp_path / "a.tgz", ("a.bmp", bytes(30 << 20)), mode="w:gz"), "looks like a bomb", limits)


def test_a_bomb_whose_header_lies_is_refused(tmp_path: Path) -> None:
    archive = zipped(tmp_path / "a.zip", {"a.bmp": bytes(30 << 20)})
    content = archive.read_bytes()
    archive.write_bytes(content.replace((30 << 20).to_bytes(4, "little"), (1000).to_bytes(4, "little")))
    refused(archive, "a.zip: ", Limits(ratio=20, free_bytes=1 << 20))


def test_a_bomb_of_files_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tgz", *((f"{number}.png", b"") for number in range(500)), mode="w:gz")
    refused(archive, "more than 400 entries", Limits(entries=400))
    refused(archive, "looks like a bomb", Limits(ratio=1, free_bytes=1000))


def test_a_header_of_a_gigabyte_is_refused(tmp_path: Path) -> None:
    info = header("././@LongLink", tarfile.GNUTYPE_LONGNAME)
    info.size = 1 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(10240))
    refused(tmp_path / "a.tar", "says that it is 1073741824 bytes long")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda content: content])
@pytest.mark.parametrize("share", [0.35, 0.699, 0.95])
def test_archives_that_are_cut_off_are_refused(tmp_path: Path, pack: Callable[[bytes], bytes], share: float) -> None:
    noise = [(f"{number}.png", os.urandom(3000)) for number in range(30)]
    content = pack(tar(tmp_path / "whole.tar", *noise).read_bytes()[: 30 * 3584 + 1024])
    (tmp_path / "whole.tar").unlink()
    (tmp_path / "a.tar.gz").write_bytes(content[: int(len(content) * share)])
    refused(tmp_path / "a.tar.gz", "a.tar.gz: ")


def test_a_tar_with_a_damaged_header_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", *((f"{number}.png", b"1") for number in range(4)))
    content = bytearray(archive.read_bytes())
    content[2 * 1024] ^= 0xFF
    archive.write_bytes(content)
    refused(archive, "a header in it cannot be read")


def test_a_zip_with_damaged_content_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"some content")
    archive.write_bytes(archive.read_bytes().replace(b"some content", b"some CONTENT"))
    refused(archive, "CRC")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    needs(os.path.exists("/usr/bin/zip"), "zip")
    tree(tmp_path / "source", CONTENT)
    subprocess.run(["zip", "-qr", "-P", "secret", "../a.zip", "."], cwd=tmp_path / "source", check=True)
    refused(tmp_path / "a.zip", "is encrypted: repack it without a password")


def test_a_zip_of_several_disks_is_refused(tmp_path: Path) -> None:
    needs(os.path.exists("/usr/bin/zip"), "zip")
    tree(tmp_path / "source", {f"{number}.png": os.urandom(100_000) for number in range(3)})
    subprocess.run(["zip", "-qr", "-s", "64k", "../a.zip", "."], cwd=tmp_path / "source", check=True)
    assert (tmp_path / "a.z01").exists()
    refused(tmp_path / "a.zip", "several disks .*repack it on a single disk")


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.gz", "a.bz2", "a.xz"])
def test_something_else_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"This is no archive at all. " * 40)
    refused(tmp_path / name, f"{name}: ")


def test_a_compressed_file_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.gz").write_bytes(gzip.compress(b"a,b\n" * 1000))
    refused(tmp_path / "labels.gz", "cannot be read")


def test_empty_archives_are_refused(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", {}), "input a non-empty compressed file")
    (tmp_path / "a.zip").unlink()
    refused(tar(tmp_path / "a.tar"), "input a non-empty compressed file")
    (tmp_path / "a.tar").write_bytes(b"")
    refused(tmp_path / "a.tar", "without the mark of a tar's end")


def test_a_tar_that_ends_between_two_files_is_refused(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar", *((f"{number}.png", b"1") for number in range(4)))
    archive.write_bytes(archive.read_bytes()[: 2 * 1024])
    refused(archive, "without the mark of a tar's end")


def test_a_disk_that_is_too_small_is_seen_before(tmp_path: Path) -> None:
    archive = zipped(
        tmp_path / "a.zip",
        {f"{number}.png": b"1" for number in range(shutil.disk_usage(tmp_path).free // 4_000_000_000 + 2)},
    )
    content = archive.read_bytes()
    for found in re.finditer(b"PK\x01\x02", content):  # each says that it unpacks to 4 GB
        place = found.start() + 24
        content = content[:place] + (4_000_000_000).to_bytes(4, "little") + content[place + 4 :]
    archive.write_bytes(content)
    with pytest.raises(ModuleOutOfMemoryError, match=r"a.zip unpacks to \d+ MB, and .* has \d+ MB free"):
        unpack(archive, tmp_path / "unpacked", "Input dataset")
    assert not (tmp_path / "unpacked").exists()


def test_real_images_come_out_as_they_went_in(tmp_path: Path) -> None:
    source = pictures.classes(tmp_path / "source", {"a": 3, "b": 2})
    subprocess.run(["tar", "-czf", tmp_path / "a.tgz", "-C", source, "a", "b"], check=True)
    unpack(tmp_path / "a.tgz", tmp_path / "unpacked", "Input dataset")
    assert files(tmp_path / "unpacked") == files(source)
