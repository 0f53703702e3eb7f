"""`RESULTS.md`: a section a group. A run of one group writes that section anew and leaves the others as they are."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.figure import Line
from toolkit.inscript.files import write_text

_HEAD = """\
# Benchmark results

Written by `make bench`; one group alone by `make bench ONLY=<group>`. Ours and the peers are measured in the same run,
in turn; the numbers are medians. *Ratio* is ours divided by the peer's. A goal that is not met says **no**; a peer that
could not be measured has no number, and its note says why.
"""


def write(path: Path, group: str, lines: Sequence[Line], versions: Mapping[str, str], load_before: float) -> None:
    """Put a group's lines into the file."""
    sections = _sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    sections[group] = _section(lines, versions, load_before)
    body = "".join(f"\n## {name}\n\n{sections[name].strip()}\n" for name in sections)
    write_text(str(path), _HEAD + body)


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _section(lines: Sequence[Line], versions: Mapping[str, str], load_before: float) -> str:
    facts = [
        f"- machine: {machine.description()}; load before the start {load_before:.1f}",
        f"- date: {time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; toolkit at {machine.commit()}",
        "- peers: " + (", ".join(f"{name} {version}" for name, version in sorted(versions.items())) or "none"),
    ]
    table = ["| what | ours | peer | | unit | ratio | goal | met |", "|---|---:|---:|---|---|---:|---|---|"]
    notes = [f"- {line.what}, {line.peer_name or 'no peer'}: {line.note}" for line in lines if line.note]
    table += [_row(line) for line in lines]
    return "\n".join([*facts, "", *table, *(["", "Notes:", "", *notes] if notes else [])])


def _row(line: Line) -> str:
    met = {True: "yes", False: "**no**", None: "?"}[line.met]
    cells = (line.what, _number(line.ours), _number(line.peer), line.peer_name, line.unit, _number(line.ratio),
             line.goal.text, met)  # fmt: skip
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
