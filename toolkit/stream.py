"""Following a run's logs: the newest of them, as it grows, until the run has ended."""

from __future__ import annotations

import codecs
import os
import time
from collections.abc import Callable, Iterator
from typing import TextIO

from toolkit.inscript.rundir import RunDirectory

SHORTEST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
_READ_BYTES = 1 << 20


def follow(run: RunDirectory, ended: Callable[[], bool]) -> Iterator[tuple[str, str]]:
    """What is new in the run's logs, as (log name, text), moving on to the next log as it appears.

    Args:
        ended: whether the run has ended; asked before each look, so that the last words are not missed.
    """
    pause = SHORTEST_PAUSE
    for path in (run.build_log, run.driver_log):
        offset, decoder = 0, codecs.getincrementaldecoder("utf-8")("replace")
        while True:
            over = ended() or (path == run.build_log and os.path.exists(run.driver_log))
            text, offset = _read(path, offset, decoder)
            if text:
                pause = SHORTEST_PAUSE
                yield os.path.relpath(path, run.root), text
                continue
            if over:
                break
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)


def _read(path: str, offset: int, decoder: codecs.IncrementalDecoder) -> tuple[str, int]:
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            content = file.read(_READ_BYTES)
    except FileNotFoundError:
        return "", offset
    text = decoder.decode(content)
    return text or ("\ufffd" if content and not text and len(content) > 4 else ""), offset + len(content)


def print_logs(run: RunDirectory, ended: Callable[[], bool], out: TextIO) -> None:
    """Print the logs of a run as Azure ML SDK v1 did, each under its name, live."""
    shown = ""
    for name, text in follow(run, ended):
        if name != shown:
            title = f"Streaming {name}"
            out.write(f"{chr(10) if shown else ''}{title}\n{'=' * len(title)}\n\n")
            shown = name
        out.write(text)
        out.flush()
    if shown:
        out.write("\n")
