"""The spool on real files, real processes and a real full disk."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import needs, wait_until
from toolkit.inscript import spool, values
from toolkit.inscript.spool import Spool, files, read_all, read_from


@pytest.fixture(autouse=True)
def _nothing_said_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(values, "_warned", set())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB and 16 files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k,nr_inodes=16", "tmpfs", str(folder)]
    able = os.geteuid() == 0 and shutil.which("mount")
    needs(able and subprocess.run(command, check=False).returncode == 0, "root, and leave to mount a file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Take all the room that is left. Delete the file to give it back."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 1024)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return ballast


def values_of(folder: str | Path, name: str = "loss") -> list[object]:
    return [record["value"] for record in read_all(str(folder)) if record.get("name") == name]


def steps_of(folder: str | Path, name: str) -> list[int]:
    return [record["step"] for record in read_all(str(folder)) if record.get("name") == name]


# -- one process --------------------------------------------------------------------------------------------------


def test_steps_count_up_for_each_name(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    for name in ("loss", "accuracy", "loss", "loss", "accuracy"):
        made.metric(name, 0.5)
    assert steps_of(tmp_path, "loss") == [0, 1, 2]
    assert steps_of(tmp_path, "accuracy") == [0, 1]


def test_an_explicit_step_is_kept_and_counting_goes_on_from_it(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    for step in (None, 2000, None, 5, None):
        made.metric("loss", 0.5, step)
    assert steps_of(tmp_path, "loss") == [0, 2000, 2001, 5, 6]


def test_rows_of_lists_and_tables_count_on(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    made.series("list", "curve", [1, 2, 3], 3)
    made.series("list", "curve", [4], 1)
    made.metric("curve", 5)
    assert steps_of(tmp_path, "curve") == [0, 3, 4]


def test_a_line_is_in_the_file_when_the_call_returns(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    for number in range(3):
        made.metric("loss", float(number))
        assert values_of(tmp_path) == [float(count) for count in range(number + 1)]


@pytest.mark.parametrize(
    "value", [0.1, 1e300, -0.0, 5e-324, 3, True, None, "text", 'say "hi"\n', "ümläut 日本", 10**30]
)
def test_values_read_back_the_same(value: object, tmp_path: Path) -> None:
    Spool(str(tmp_path)).metric("loss", value)
    (found,) = values_of(tmp_path)
    assert found == value and type(found) is type(value)
    assert str(found) == str(value)


def test_nan_and_infinities_are_numbers(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    for value in (float("nan"), float("inf"), float("-inf")):
        made.metric("loss", value)
    nan, *infinite = values_of(tmp_path)
    assert nan != nan and infinite == [float("inf"), float("-inf")]


@pytest.mark.parametrize("name", ["", "a b", 'quote " and \\', "line\nbreak", "日本", "\udcff", "x" * 10000])
def test_any_name_is_one_line(name: str, tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    made.metric(name, 1.0)
    made.metric(name, 2.0)
    (file,) = files(str(tmp_path))
    assert (tmp_path / file).read_bytes().count(b"\n") == 2
    assert values_of(tmp_path, name) == [1.0, 2.0]


def test_a_record_that_json_does_not_know_is_kept_as_text(tmp_path: Path) -> None:
    Spool(str(tmp_path)).record("tag", name="a", value={1, 2})
    assert values_of(tmp_path, "a") == ["{1, 2}"]


def test_nothing_is_on_disk_before_something_is_logged(tmp_path: Path) -> None:
    calls: list[int] = []
    made = Spool(str(tmp_path / "spool"), on_create=lambda: calls.append(1))
    assert not (tmp_path / "spool").exists() and not calls
    made.metric("loss", 1.0)
    made.metric("loss", 1.0)
    assert len(files(str(tmp_path / "spool"))) == len(calls) == 1
    assert (tmp_path / "spool").stat().st_mode & 0o777 == 0o700


# -- several ------------------------------------------------------------------------------------------------------


def test_threads_share_one_file_and_lose_nothing(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))

    def log(thread: int) -> None:
        for number in range(500):
            made.metric("loss", float(thread * 1000 + number))

    threads = [threading.Thread(target=log, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files(str(tmp_path))) == 1
    assert sorted(values_of(tmp_path)) == [float(t * 1000 + n) for t in range(8) for n in range(500)]  # type: ignore[type-var]
    assert sorted(steps_of(tmp_path, "loss")) == list(range(4000)), "every step once"


def _log_many(folder: str, worker: int) -> None:
    made = Spool(folder)
    for number in range(500):
        made.metric("loss", worker * 1000 + number)
        made.record("tag", name="long", value="x" * 5000)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_lose_nothing_and_mix_nothing(method: str, tmp_path: Path) -> None:
    context = multiprocessing.get_context(method)
    workers = [context.Process(target=_log_many, args=(str(tmp_path), worker)) for worker in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    assert len(files(str(tmp_path))) == 3
    assert sorted(values_of(tmp_path)) == [w * 1000 + n for w in range(3) for n in range(500)]  # type: ignore[type-var]
    assert values_of(tmp_path, "long") == ["x" * 5000] * 1500


FORKS = """
import os, sys
from toolkit.inscript.spool import Spool
spool = Spool(sys.argv[1])
spool.metric("loss", 0)
children = []
for worker in range(1, 4):
    pid = os.fork()
    if pid == 0:
        for number in range(200):
            spool.metric("loss", worker * 1000 + number)
        os._exit(0)
    children.append(pid)
for number in range(1, 200):
    spool.metric("loss", number)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""


def test_forked_children_of_a_process_that_logged_have_files_of_their_own(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORKS, str(tmp_path)], check=True)
    assert len(files(str(tmp_path))) == 4
    assert sorted(values_of(tmp_path)) == [w * 1000 + n for w in range(4) for n in range(200)]  # type: ignore[type-var]


FORK_WHILE_LOCKED = """
import os, sys
from toolkit.inscript.spool import Spool
spool = Spool(sys.argv[1])
with spool._lock:  # as another thread has it for a moment
    pid = os.fork()
    if pid == 0:
        spool.metric("loss", 1)
        os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""


def test_a_fork_while_another_thread_is_busy_does_not_hang(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", FORK_WHILE_LOCKED, str(tmp_path)], check=True, timeout=60)
    assert values_of(tmp_path) == [1]


def test_kill_9_loses_nothing_that_log_returned_for(tmp_path: Path) -> None:
    code = textwrap.dedent(
        """
        import os, sys
        from toolkit.inscript.spool import Spool
        spool, number = Spool(sys.argv[1]), 0
        while True:
            spool.metric("loss", number)
            os.write(1, b"%d\\n" % number)
            number += 1
        """
    )
    with (tmp_path / "returned").open("wb") as returned:
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "spool")], stdout=returned)
        wait_until(lambda: os.path.getsize(tmp_path / "returned") > 10000)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    last = int((tmp_path / "returned").read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2])
    found = values_of(tmp_path / "spool")
    assert found == list(range(len(found))) and len(found) > last


def test_records_of_several_processes_come_in_the_order_of_time(tmp_path: Path) -> None:
    for name, times in (("a.jsonl", (1.0, 4.0)), ("b.jsonl", (2.0, 3.0))):
        lines = [json.dumps({"kind": "metric", "name": "loss", "step": 0, "time": t, "value": t}) for t in times]
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    assert values_of(tmp_path) == [1.0, 2.0, 3.0, 4.0]


# -- a disk that refuses ------------------------------------------------------------------------------------------


def test_a_full_disk_warns_once_raises_nothing_and_the_lines_follow(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = Spool(str(small_disk / "spool"))
    made.metric("loss", 0)
    ballast = fill(small_disk)
    for number in range(1, 500):  # some of them still fit into the last page
        made.metric("loss", number)
    warning = capsys.readouterr().err
    assert warning.count("\n") == 1
    assert "the disk took only a part" in warning or "No space left on device" in warning
    assert "The script goes on" in warning and str(small_disk / "spool") in warning
    assert len(values_of(small_disk / "spool")) < 500
    ballast.unlink()
    made.flush()
    assert values_of(small_disk / "spool") == list(range(500))
    made.metric("loss", 500)
    assert values_of(small_disk / "spool") == list(range(501))
    assert capsys.readouterr().err == ""


def test_lines_follow_by_themselves_with_the_next_call(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "RETRY_SECONDS", 0.0)
    made = Spool(str(small_disk / "spool"))
    made.metric("loss", 0)
    ballast = fill(small_disk)
    for number in range(1, 100):
        made.metric("loss", number)
    ballast.unlink()
    made.metric("loss", 100)
    assert values_of(small_disk / "spool") == list(range(101))


def test_lines_wait_when_not_even_the_file_can_be_made(
    small_disk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool, "RETRY_SECONDS", 0.0)
    taken = [small_disk / f"file{number}" for number in range(15)]
    for file in taken:  # every inode
        file.touch()
    made = Spool(str(small_disk / "spool"))
    for number in range(3):
        made.metric("loss", number)
    assert "No space left on device" in capsys.readouterr().err
    for file in taken[:5]:
        file.unlink()
    made.metric("loss", 3)
    made.flush()
    assert values_of(small_disk / "spool") == [0, 1, 2, 3]


AT_THE_END = """
import os, sys
sys.stderr = open(os.devnull, "w")
from toolkit.inscript.spool import Spool
spool = Spool(sys.argv[1])
spool.metric("loss", 0)
ballast = open(sys.argv[2], "wb", buffering=0)
try:
    while True:
        ballast.write(b"x" * 1024)
except OSError:
    pass
for number in range(1, 200):
    spool.metric("loss", number)
if sys.argv[3] == "fork":
    pid = os.fork()
    if pid == 0:
        os.unlink(sys.argv[2]); os.ftruncate(ballast.fileno(), 0)
        spool.flush()
        os._exit(0)
    os.waitpid(pid, 0)
else:
    os.unlink(sys.argv[2]); os.ftruncate(ballast.fileno(), 0)
"""


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_what_waits_when_the_script_ends_is_written_once(how: str, small_disk: Path) -> None:
    arguments = [str(small_disk / "spool"), str(small_disk / "ballast"), how]
    subprocess.run([sys.executable, "-c", AT_THE_END, *arguments], check=True)
    assert values_of(small_disk / "spool") == list(range(200))


def test_a_folder_that_may_not_be_written_raises_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    made = Spool(str(tmp_path / "file" / "spool"))
    made.metric("loss", 1.0)
    made.record("tag", name="a", value="b")
    made.flush()
    assert "Not a directory" in capsys.readouterr().err


# -- reading ------------------------------------------------------------------------------------------------------


def test_a_torn_line_is_passed_over(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    made.metric("loss", 1)
    (file,) = files(str(tmp_path))
    with (tmp_path / file).open("ab") as torn:
        torn.write(b'{"kind":"metric","name":"lo{"kind":"metric"\n[1]\n\xff\xfe\n')
    made.metric("loss", 2)
    with (tmp_path / file).open("ab") as torn:
        torn.write(b'{"kind":"metric","name":"loss","step":9,"val')
    assert values_of(tmp_path) == [1, 2]
    _, offset = read_from(str(tmp_path / file), 0)
    assert offset == (tmp_path / file).read_bytes().rfind(b"\n") + 1, "a line that is being written is read later"


def test_reading_goes_on_from_an_offset_and_in_pieces(tmp_path: Path) -> None:
    made = Spool(str(tmp_path))
    made.metric("long", "x" * 500)
    for number in range(20):
        made.metric("loss", number)
    (file,) = files(str(tmp_path))
    path, offset, found = str(tmp_path / file), 0, []
    while True:
        records, after = read_from(path, offset, limit=100)
        if after == offset:
            break
        found += records
        offset = after
    assert [record["value"] for record in found] == ["x" * 500, *range(20)]


def test_a_run_that_logged_nothing(tmp_path: Path) -> None:
    assert files(str(tmp_path / "none")) == read_all(str(tmp_path / "none")) == []
