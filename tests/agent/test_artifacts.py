"""Which files of a run become artifacts, and under which names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from toolkit.agent.artifacts import Artifacts, artifact_name
from toolkit.inscript.rundir import RunDirectory


@pytest.mark.parametrize("name", ["outputs/model.pt", "a b/ümläut.txt", "x-1_2.tar.gz"])
def test_a_name_that_survives_a_url_is_kept(name: str) -> None:
    assert artifact_name(name) == name


def test_names_that_a_url_would_cut_stay_apart() -> None:
    names = ["outputs/a#1.txt", "outputs/a#2.txt", "outputs/a?1.txt", "outputs/a%231.txt", "outputs/a_1.txt"]
    kept = [artifact_name(name) for name in names]
    assert len({*kept}) == len(names)
    assert all(name.endswith(".txt") and not set("#?%") & set(name) for name in kept)


def test_a_log_that_is_rotated_away_meanwhile_holds_up_no_other(tmp_path: Path) -> None:
    run = RunDirectory(str(tmp_path / "run_1"))
    os.makedirs(run.script_logs)
    for name in "abc":
        Path(run.script_logs, name).write_text(name)
    sent = {}

    class Client:
        """Takes files as MLflow's does, and in the middle of it the script rotates its logs."""

        def log_artifact(self, run_id: str, path: str, folder: str | None) -> None:
            Path(run.script_logs, "b").unlink(missing_ok=True)
            sent[f"{folder}/{os.path.basename(path)}"] = Path(path).read_text()

    client: Any = Client()
    uploaded: dict[str, list[int]] = {}
    Artifacts(run, client, uploaded).upload("1", final=False)
    assert sent == {"logs/a": "a", "logs/c": "c"} and uploaded.keys() == sent.keys()
