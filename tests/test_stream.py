"""Following the logs of a run: live, each under its heading."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from toolkit import stream
from toolkit.inscript.rundir import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(str(tmp_path / "run"))
    os.makedirs(made.logs)
    return made


class Following:
    """Somebody who follows a run, in a thread."""

    def __init__(self, run: RunDirectory) -> None:
        self.over = threading.Event()
        self.out = io.StringIO()
        self._thread = threading.Thread(target=stream.print_logs, args=(run, self.over.is_set, self.out))
        self._thread.start()

    def sees(self, text: str) -> None:
        wait_until(lambda: self.out.getvalue() == text)

    def end(self) -> str:
        self.over.set()
        self._thread.join()
        return self.out.getvalue()


@pytest.fixture
def follow(run: RunDirectory) -> Iterator[Callable[[], Following]]:
    begun: list[Following] = []

    def begin() -> Following:
        begun.append(Following(run))
        return begun[-1]

    yield begin
    for following in begun:
        following.end()


def write(path: str, content: bytes) -> None:
    with open(path, "ab") as file:
        file.write(content)


BUILD = "Streaming azureml-logs/20_image_build_log.txt\n=============================================\n\n"
DRIVER = "Streaming azureml-logs/70_driver_log.txt\n========================================\n\n"


def test_both_logs_as_they_grow(run: RunDirectory, follow: Callable[[], Following]) -> None:
    following = follow()
    write(run.build_log, b"solving\n")
    following.sees(BUILD + "solving\n")
    write(run.build_log, b"done\n")
    following.sees(BUILD + "solving\ndone\n")
    write(run.driver_log, b"epoch 1\r")
    following.sees(BUILD + "solving\ndone\n\n" + DRIVER + "epoch 1\r")
    write(run.driver_log, b"epoch 2")
    following.sees(BUILD + "solving\ndone\n\n" + DRIVER + "epoch 1\repoch 2")
    write(run.driver_log, b"\nlast words\n")
    assert following.end() == BUILD + "solving\ndone\n\n" + DRIVER + "epoch 1\repoch 2\nlast words\n\n"


def test_a_run_that_has_ended_is_shown_whole(run: RunDirectory) -> None:
    write(run.build_log, b"built\n")
    write(run.driver_log, b"x" * (3 << 20))
    out = io.StringIO()
    stream.print_logs(run, lambda: True, out)
    assert out.getvalue() == BUILD + "built\n\n" + DRIVER + "x" * (3 << 20) + "\n"


def test_a_run_without_logs_shows_nothing(run: RunDirectory) -> None:
    out = io.StringIO()
    stream.print_logs(run, lambda: True, out)
    assert out.getvalue() == ""


def test_a_character_that_comes_in_two_pieces(run: RunDirectory, follow: Callable[[], Following]) -> None:
    following = follow()
    write(run.driver_log, b"gr\xc3")
    following.sees(DRIVER + "gr")
    write(run.driver_log, b"\xbc\xc3\x9fe\n")
    following.sees(DRIVER + "grüße\n")


def test_output_that_is_no_text(run: RunDirectory) -> None:
    write(run.driver_log, bytes(range(128, 256)) + b"end")
    text = "".join(text for _, text in stream.follow(run, lambda: True))
    assert text.endswith("end") and "\ufffd" in text
