"""Experiments: names, numbers, the runs in them."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import Submit
from toolkit import Experiment, UserErrorException, Workspace


@pytest.mark.parametrize("name", ["a", "9", "day1-experiment-train", "A_b-C", "a" * 255])
def test_names_that_v1_takes(name: str, workspace: Workspace) -> None:
    assert Experiment(workspace, name).name == name


@pytest.mark.parametrize("name", ["", "-a", "_a", "a b", "a/b", "a.b", "ü", "aü", "a\n", "a" * 256, None, 3])
def test_names_that_v1_refuses(name: str, workspace: Workspace) -> None:
    with pytest.raises(UserErrorException) as caught:
        Experiment(workspace, name)
    assert str(caught.value) == (
        f"'{name}' cannot be the name of an experiment: it must be 1 to 255 characters, start with a letter or a "
        "number, and hold nothing but letters, numbers, hyphens and underscores, no whitespace"
    )
    assert workspace.experiments == {}


def test_it_comes_into_being_with_its_first_run(workspace: Workspace) -> None:
    experiment = Experiment(workspace, "day1")
    assert workspace.experiments == {} and [*experiment.get_runs()] == []
    assert repr(experiment) == "Experiment(workspace='test', name='day1')"


def test_numbers_count_in_each_experiment(workspace: Workspace) -> None:
    one, two = Experiment(workspace, "one"), Experiment(workspace, "two")
    assert [one.add_run("a"), one.add_run("b"), two.add_run("c"), one.add_run("d")] == [1, 2, 1, 3]
    assert one.run_ids() == ["a", "b", "d"]


def test_several_processes_get_numbers_of_their_own(workspace: Workspace) -> None:
    code = (
        "import sys; from toolkit import Experiment, Workspace; e = Experiment(Workspace.get('test'), 'together')\n"
        "print(*(e.add_run(f'{sys.argv[1]}{n}') for n in range(50)))"
    )
    command = [sys.executable, "-c", code]
    processes = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    numbers = [int(number) for process in processes for number in process.communicate()[0].split()]
    assert sorted(numbers) == list(range(1, 151))
    assert len({*Experiment(workspace, "together").run_ids()}) == 150


def test_runs_are_listed_the_newest_first_and_by_tag(submit: Submit, workspace: Workspace) -> None:
    from toolkit import ScriptRunConfig

    first = submit("print(1)", experiment="listed")
    config = ScriptRunConfig(first._definition()["source_directory"], script="train.py")
    experiment = Experiment(workspace, "listed")
    tagged = experiment.submit(config, tags={"kind": "best", "n": 2})  # type: ignore[dict-item]
    other = submit("print(1)", experiment="other")
    for run in (first, tagged, other):
        run.wait_for_completion()
    assert [run.id for run in experiment.get_runs()] == [tagged.id, first.id]
    assert (first.number, tagged.number, other.number) == (1, 2, 1)
    for tags, found in (("kind", [tagged]), ({"kind": "best"}, [tagged]), ({"n": "2"}, [tagged]), ({"n": "3"}, [])):
        assert [run.id for run in experiment.get_runs(tags=tags)] == [run.id for run in found]
    first.add_properties({"stage": "draft"})
    assert [run.id for run in experiment.get_runs(properties={"stage": "draft"})] == [first.id]
    assert [*experiment.get_runs(properties={"stage": "final"})] == []
    assert [*experiment.get_runs(type="azureml.PipelineRun")] == []
    first.tag("kind", "late")
    assert [run.id for run in experiment.get_runs(tags="kind")] == [tagged.id, first.id]
    assert {*workspace.experiments} == {"listed", "other"}
    assert [found.name for found in Experiment.list(workspace, "other")] == ["other"]
    assert workspace.get_run(tagged.id).experiment.name == "listed"
