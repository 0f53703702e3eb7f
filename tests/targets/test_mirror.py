"""A run directory carried elsewhere by frames."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.inscript import attempts, changes
from toolkit.inscript.changes import Changes, Frame
from toolkit.inscript.rundir import RunDirectory
from toolkit.targets.base import Phase
from toolkit.targets.mirror import BrokenMirror, Mirror


@pytest.fixture
def there(tmp_path: Path) -> RunDirectory:
    root = tmp_path / "there" / "run_1"
    root.mkdir(parents=True)
    return RunDirectory(str(root))


@pytest.fixture
def here(tmp_path: Path) -> Mirror:
    root = tmp_path / "here" / "run_1"
    root.mkdir(parents=True)
    return Mirror(RunDirectory(str(root)))


def write(run: RunDirectory, name: str, content: bytes, mode: str = "wb") -> None:
    path = Path(run.root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open(mode) as file:
        file.write(content)


def read(mirror: Mirror, name: str) -> bytes:
    return Path(mirror.run.root, name).read_bytes()


def test_what_grows_is_sent_once(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    write(there, "spool/a.jsonl", b"one\n")
    for frame in source.look():
        here.apply(frame)
    write(there, "spool/a.jsonl", b"two\n", "ab")
    frames = [*source.look()]
    assert [frame["text"] for frame in frames] == ["two\n"]
    for frame in [*frames, *frames]:  # twice is once
        here.apply(frame)
    assert read(here, "spool/a.jsonl") == b"one\ntwo\n"


def test_another_source_goes_on_where_the_mirror_is(there: RunDirectory, here: Mirror) -> None:
    write(there, "azureml-logs/70_driver_log.txt", b"abc")
    for frame in Changes(there).look():
        here.apply(frame)
    write(there, "azureml-logs/70_driver_log.txt", b"def", "ab")
    (frame,) = Changes(there, here.sizes()).look()
    assert frame == {"path": "azureml-logs/70_driver_log.txt", "at": 3, "text": "def"}


def test_the_exit_record_comes_last_and_all_is_there_then(there: RunDirectory, here: Mirror) -> None:
    write(there, "exit.json", b"{}")
    write(there, "script.json", b"{}")
    write(there, "work/outputs/deep/modèle.bin", os.urandom(changes.PIECE_BYTES * 2 + 17))
    write(there, "work/outputs/empty", b"")
    write(there, "work/logs/events", b"x" * 100_000)
    write(there, "work/other.txt", b"stays there")
    write(there, "children/c1/spool/b.jsonl", b"{}\n")
    frames = [*Changes(there).finish()]
    assert frames[-1]["path"] == "exit.json"
    for frame in frames[:-1]:
        here.apply(frame)
    assert here.phase() is Phase.RUNNING
    here.apply(frames[-1])
    assert here.phase() is Phase.ENDED
    for name in ("work/outputs/deep/modèle.bin", "work/outputs/empty", "work/logs/events", "children/c1/spool/b.jsonl"):
        assert read(here, name) == Path(there.root, name).read_bytes()
    assert not Path(here.run.root, "work", "other.txt").exists()


def test_a_file_that_is_written_anew_is_sent_anew(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    for content in (b"first", b"2nd"):
        write(there, "artifacts/model.bin", content)
        write(there, "work/logs/state", content)
        for frame in source.look_at_all():
            here.apply(frame)
    assert read(here, "artifacts/model.bin") == read(here, "work/logs/state") == b"2nd"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "spool/../../x", "run.json", "work/train.py", "cancel.json", ""])
def test_a_path_that_leads_elsewhere_is_refused(here: Mirror, name: str) -> None:
    with pytest.raises(BrokenMirror):
        here.apply({"path": name, "at": 0, "text": "x"})
    assert not [*Path(here.run.root).iterdir()]


def test_a_gap_is_told(here: Mirror) -> None:
    with pytest.raises(BrokenMirror, match="up to byte 0"):
        here.apply({"path": "spool/a.jsonl", "at": 5, "text": "x"})
    with pytest.raises(BrokenMirror, match="beginning"):
        here.apply({"path": "exit.json", "at": 5, "of": 9, "text": "x"})


def test_a_heartbeat_heals(there: RunDirectory, here: Mirror) -> None:
    assert here.phase() is Phase.WAITING
    write(here.run, "script.json", b"{}")
    here.apply({"beat": 1.0})
    os.utime(here.run.heartbeat, (1, 1))
    assert here.phase() is Phase.SILENT
    here.apply({"beat": 2.0})
    assert here.phase() is Phase.RUNNING
    assert here.phase(gone=True) is Phase.LOST


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=20_000), st.integers(0, 1 << 40))
def test_any_bytes_go_through_a_line(content: bytes, at: int) -> None:
    import json

    line = changes.line_of(changes.frame_of("spool/ä.jsonl", at, content))
    assert line.count(b"\n") == 1 and line.isascii()
    assert changes.piece_of(json.loads(line)) == content


def test_a_file_that_is_shorter_than_the_mirror_s(there: RunDirectory, here: Mirror) -> None:
    write(here.run, "work/logs/state", b"long before")
    write(there, "work/logs/state", b"short")
    for frame in Changes(there, here.sizes()).look_at_all():
        here.apply(frame)
    assert read(here, "work/logs/state") == b"short"


def test_a_file_becomes_a_folder_and_a_folder_a_file(there: RunDirectory, here: Mirror) -> None:
    write(here.run, "work/outputs/a", b"a file before")
    write(here.run, "work/outputs/b/deep", b"a folder before")
    write(there, "work/outputs/a/x/y", b"1")
    write(there, "work/outputs/b", b"2")
    for frame in Changes(there).look_at_all():
        here.apply(frame)
    assert read(here, "work/outputs/a/x/y") == b"1"
    assert read(here, "work/outputs/b") == b"2"


def test_names_that_look_like_ours_are_the_script_s(there: RunDirectory, here: Mirror) -> None:
    for name in ("model", "model.part"):
        write(there, f"work/outputs/{name}", name.encode())
    for _ in range(2):
        for frame in Changes(there).look_at_all():
            here.apply(frame)
    assert sorted(os.listdir(here.run.outputs)) == ["model", "model.part"]
    assert read(here, "work/outputs/model.part") == b"model.part"


def carry(source: Changes, here: Mirror, last: bool = False) -> list[Frame]:
    frames = [*source.look_at_all(last)]
    for frame in frames:
        here.apply(frame)
    return frames


def files(run: RunDirectory) -> list[str]:
    return sorted(str(path.relative_to(run.root)) for path in Path(run.root).rglob("*") if path.is_file())


def test_what_a_script_deletes_is_deleted(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    said: list[Frame] = []
    for step in range(6):
        for name in (f"work/outputs/steps/{step}/model.pt", f"data/outputs/all/{step}", f"work/logs/{step}.txt"):
            write(there, name, b"x" * 100)
        if step >= 3:
            shutil.rmtree(Path(there.root, "work", "outputs", "steps", str(step - 3)))
            os.unlink(Path(there.root, "data", "outputs", "all", str(step - 3)))
            os.unlink(Path(there.root, "work", "logs", f"{step - 3}.txt"))
        said += carry(source, here)
    assert files(here.run) == files(there) and len(files(there)) == 9
    assert sorted(os.listdir(os.path.join(here.run.outputs, "steps"))) == ["3", "4", "5"]
    assert len([frame for frame in said if "gone" in frame]) == 9
    assert not [*source.look_at_all()], "it is told once"
    for start in range(len(said)):  # from anywhere on once more
        for frame in said[start:]:
            here.apply(frame)
        assert files(here.run) == files(there)


def test_a_deleted_file_that_is_made_again(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    said: list[Frame] = []
    for content in (b"first", b"", b"2nd", b"", b"longer than those before"):
        for name in ("work/outputs/a", "work/logs/a"):
            write(there, name, content)
            if not content:
                os.unlink(Path(there.root, name))
        said += carry(source, here)
        assert files(here.run) == files(there)
    assert [frame.get("at") for frame in said] == [0, 0, None, None, 0, 0, None, None, 0, 0]
    for _ in range(2):
        assert read(here, "work/outputs/a") == read(here, "work/logs/a") == b"longer than those before"
        for frame in said:
            here.apply(frame)
    write(there, "work/logs/a", b"!", "ab")
    assert [frame["at"] for frame in carry(source, here)] == [24]
    assert read(here, "work/logs/a") == b"longer than those before!"


def test_a_log_that_is_made_anew_between_two_looks(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there, piece_bytes=10)
    for content in (b"one\n", b"another that is longer\n", b"and one that is longer than that\n", b"short\n"):
        write(there, "work/logs/app.log", content)
        carry(source, here)
        assert read(here, "work/logs/app.log") == content
        write(there, "work/logs/app.log", b"more\n", "ab")
        (frame,) = carry(source, here)
        assert frame["text"] == "more\n" and read(here, "work/logs/app.log") == content + b"more\n"


def test_what_is_only_moved_or_of_the_run_is_not_gone(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    kept = ("azureml-logs/70.txt", "spool/a.jsonl", "artifacts/a", "attempts/1/exit.json", "children/c/spool/b.jsonl")
    for name in (*kept, "work/outputs/a", "work/outputs/b/c"):
        write(there, name, b"x")
    carry(source, here)
    for name in kept:
        os.unlink(Path(there.root, name))
    os.replace(Path(there.root, "work/outputs/b"), Path(there.root, "work/elsewhere"))
    os.symlink("../elsewhere", Path(there.root, "work/outputs/b"))  # it can be read there as before
    assert not carry(source, here)
    shutil.rmtree(there.root)  # by somebody else: what is here is all that is left
    assert not carry(source, here, last=True)
    os.makedirs(there.root)
    assert not carry(source, here)


def test_a_file_that_became_a_folder_is_gone_before(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    write(there, "work/outputs/a", b"1")
    write(there, "work/outputs/b/c", b"2")
    said = carry(source, here)
    os.unlink(Path(there.root, "work/outputs/a"))
    shutil.rmtree(Path(there.root, "work/outputs/b"))
    write(there, "work/outputs/a/x", b"3")
    write(there, "work/outputs/b", b"4")
    said += carry(source, here)
    for frame in [*said, *said]:
        here.apply(frame)
    assert files(here.run) == ["work/outputs/a/x", "work/outputs/b"]
    here.apply({"path": "work/outputs/a", "gone": True})  # an old one, on its own
    assert files(here.run) == ["work/outputs/a/x", "work/outputs/b"]


def test_what_was_deleted_while_nobody_looked(there: RunDirectory, here: Mirror) -> None:
    for name in ("work/outputs/a", "work/outputs/b", "work/logs/c", "work/logs/d"):
        write(there, name, b"x")
    carry(Changes(there), here)
    write(here.run, "work/outputs/.rsync-part/large", b"half of it")
    os.unlink(Path(there.root, "work/outputs/a"))
    os.unlink(Path(there.root, "work/logs/c"))
    carry(Changes(there, here.sizes()), here)
    assert files(here.run) == ["work/logs/d", "work/outputs/.rsync-part/large", "work/outputs/b"]


def test_another_attempt_deletes_only_what_it_has_told(there: RunDirectory, here: Mirror) -> None:
    """On another machine, where what the first one put out never was."""
    for name in ("work/outputs/a", "work/logs/b"):
        write(here.run, name, b"of the first")
    write(here.run, "exit.json", b"{}")
    attempts.set_aside(here.run)
    source = Changes(there, here.sizes())
    for number in ("1.tmp", "1"):  # it is made when this is there already
        os.makedirs(os.path.join(there.attempts, number), exist_ok=True)
    for name in ("work/outputs/c", "work/outputs/d"):
        write(there, name, b"of the second")
    carry(source, here)
    os.unlink(Path(there.root, "work/outputs/c"))
    carry(source, here, last=True)
    assert [name for name in files(here.run) if name.startswith("work")] == [
        "work/logs/b",
        "work/outputs/a",
        "work/outputs/d",
    ]


def test_frames_that_come_again_after_the_end_bring_nothing_back(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    write(there, "work/outputs/old", b"x")
    first = carry(source, here)
    os.unlink(Path(there.root, "work/outputs/old"))
    write(there, "work/outputs/new", b"x")
    write(there, "exit.json", b"{}")
    for frame in [*source.finish(), *first]:
        here.apply(frame)
    here.apply({"path": "work/outputs/new", "gone": True})
    assert os.listdir(here.run.outputs) == ["new"]


@pytest.mark.parametrize("name", ["../x", "work/train.py", "exit.json", "spool/a", "azureml-logs/a", "work/outputs/"])
def test_what_is_not_a_scripts_is_never_gone(here: Mirror, name: str) -> None:
    for one in (name, "work/outputs/kept"):
        if not one.endswith("/"):
            write(here.run, one, b"x")
    with pytest.raises(BrokenMirror):
        here.apply({"path": name, "gone": True})
    assert os.path.exists(os.path.join(here.run.root, name))


def test_half_a_file_goes_with_it(here: Mirror) -> None:
    here.apply({"path": "work/outputs/deep/a", "at": 0, "of": 9, "text": "half"})
    for _ in range(2):
        here.apply({"path": "work/outputs/deep/a", "gone": True})
    assert not os.listdir(here.run.outputs)


def test_a_temporary_file_comes_when_the_script_has_ended(there: RunDirectory, here: Mirror) -> None:
    source = Changes(there)
    for name in ("work/outputs/vocabulary.tmp", "work/logs/a.tmp", "artifacts/in-the-making.tmp"):
        write(there, name, b"kept")
    assert not [*source.look_at_all()]
    assert [frame["path"] for frame in source.finish()] == ["work/logs/a.tmp", "work/outputs/vocabulary.tmp"]
