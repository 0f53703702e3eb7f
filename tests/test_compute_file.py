"""`toolkit compute`: targets written into workspace.yaml, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toolkit import Workspace, configuration
from toolkit.cli import main
from toolkit.configuration import TEMPLATE


@pytest.fixture
def file(workspace: Workspace) -> Path:
    workspace.paths.configuration.write_text(TEMPLATE)
    return workspace.paths.configuration


def compute(*words: str) -> int:
    return main(["compute", words[0], "-w", "test", *words[1:]])


@pytest.mark.parametrize(
    "words",
    [
        ["gpu-box", "--kind", "ssh", "host=me@box", "gpus=2"],
        ["gpu-box", "host=me@box", "gpus=2", "--kind", "ssh"],
        ["gpu-box", "--kind", "ssh", "--host", "me@box", "--gpus=2"],
    ],
)
def test_a_target_is_one_line_more(file: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert compute("add", *words) == 0
    assert file.read_text() == TEMPLATE + "  gpu-box: {type: ssh, host: me@box, gpus: 2}\n"
    assert 'compute_target="gpu-box"' in capsys.readouterr().out
    assert configuration.load(file).compute_targets["gpu-box"] == {"type": "ssh", "host": "me@box", "gpus": 2}


def test_what_a_person_wrote_stays(file: Path) -> None:
    written = (
        "# mine\ntracking_uri: 'http://x'   # the team's\n\ncompute_targets:\n    # first\n    local: {type: local}\n"
    )
    file.write_text(written)
    assert compute("add", "two", "--kind", "local", "slots=2") == 0
    assert compute("remove", "two") == 0
    assert configuration.load(file).tracking_uri == "http://x"
    assert file.read_text().splitlines()[:4] == written.splitlines()[:4] and "# first" in file.read_text()


def test_a_file_without_targets_keeps_the_default_ones(file: Path) -> None:
    file.write_text("snapshot_limit_mb: 5\n")
    assert compute("add", "two", "--kind", "local", "slots=2") == 0
    assert {"local", "cpu-cluster", "gpu", "docker", "two"} == configuration.load(file).compute_targets.keys()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "--kind", "sshh"], "there is no kind of compute target 'sshh'. There are:\n  docker "),
        (["x"], "--kind says what 'x' is, one of\n  docker "),
        (["x", "--kind", "ssh"], "has no host: as ssh takes it: user@host, or a name of ~/.ssh/config. Nothing was"),
        (["x", "--kind", "local", "gpus=two"], "has gpus 'two'; it must be a whole number, 1 or more"),
        (["x", "--kind", "local", "memory=8g"], "unknown setting memory; known are gpus"),
        (["x", "--kind", "ssh", "hots=me"], "slots, ssh_config, type (did you mean host?). Nothing was"),
        (
            ["x", "--kind", "ssh", "host=me", "key_file=/no/key"],
            "has key_file '/no/key', which is no file that can be read here; it must be the path of a private key",
        ),
        (["x", "--kind", "ssh", "host=me", "ssh_config=~/no/config"], "has ssh_config '~/no/config', which is no file"),
        (["x", "--kind", "ssh", "host=me", "key_file=/tmp"], "has key_file '/tmp', which is no file"),
        (["x", "--kind", "local", "slots"], "'slots' is no setting: write KEY=VALUE"),
        (["x", "--kind", "local", "--slots"], "--slots needs a value"),
        (["local", "--kind", "local"], "there is a compute target 'local' already, of type local"),
        (["two words", "--kind", "local"], "cannot be the name of a compute target"),
        (["x", "--kind", "local", "shares=none"], "which is not a target with slots of its own"),
    ],
)
def test_what_cannot_be_is_refused(file: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compute("add", *words) == 1
    assert said in capsys.readouterr().err
    assert file.read_text() == TEMPLATE


def test_files_that_are_there_are_taken(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "key").touch()
    assert compute("add", "box", "--kind", "ssh", "host=me", "key_file=~/key", "ssh_config=/dev/null") == 0
    assert configuration.load(file).compute_targets["box"]["key_file"] == "~/key"


def test_the_valid_options_are_said(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compute("add", "x", "--kind", "ssh", "hosst=me")
    shown = capsys.readouterr().err
    assert "host=…" in shown and "(needed)" in shown and "max_retries=…" in shown


def test_replace(file: Path) -> None:
    assert compute("add", "local", "--kind", "local", "slots=7", "--replace") == 0
    assert file.read_text() == TEMPLATE.replace("local: {type: local, slots: 1}", "local: {type: local, slots: 7}")


def test_remove_refuses_what_others_need(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compute("remove", "local") == 1 and "cpu-cluster, docker" in capsys.readouterr().err
    assert compute("remove", "nobody") == 1 and "has no compute target 'nobody'" in capsys.readouterr().err
    assert file.read_text() == TEMPLATE


def test_list_and_options_for_programs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert compute("list", "--json") == 0
    assert json.loads(capsys.readouterr().out)["gpu"] == {"type": "local", "gpus": 1}
    assert compute("options", "slurm", "--json") == 0
    assert "partition" in json.loads(capsys.readouterr().out)
    assert compute("list") == 0 and "shares: local" in capsys.readouterr().out


def test_text_stays_text_whatever_yaml_makes_of_it(file: Path) -> None:
    words = ["time=12:00:00", "account=007", "partition=on", "options=['--comment2=1:30', --exclusive]", "gpus=2"]
    assert compute("add", "cluster", "--kind", "slurm", *words) == 0
    found = configuration.load(file).compute_targets["cluster"]
    assert (found["time"], found["account"], found["partition"], found["gpus"]) == ("12:00:00", "007", "on", 2)
    assert found["options"] == ["--comment2=1:30", "--exclusive"]
    assert compute("add", "another", "--kind", "local") == 0
    assert configuration.load(file).compute_targets["cluster"] == found, "and when the file is written once more"


@pytest.mark.parametrize("name", ["on", "123", "null", "1:30", "[a]", "Ähm", "{", "a:b", "'a'", "*"])
def test_a_name_stays_text_whatever_yaml_makes_of_it(file: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compute("add", name, "--kind", "local") == 0
    assert configuration.load(file).compute_targets[name] == {"type": "local"}
    assert compute("list") == 0 and name in capsys.readouterr().out
    assert compute("remove", name) == 0
    assert name not in configuration.load(file).compute_targets


def test_a_name_that_is_no_text_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text("compute_targets:\n  on: {type: local}\n")
    assert compute("list") == 1
    assert "in quotes" in capsys.readouterr().err


def test_a_setting_that_is_given_twice_is_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = file.read_text()
    assert compute("add", "box", "--kind", "ssh", "host=a", "--host", "b") == 1
    assert "host is given twice" in capsys.readouterr().err
    assert compute("add", "box", "--kind", "ssh", "host=a", "type=local") == 1
    assert file.read_text() == before
