"""The modules as commands, and as steps."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from toolkit import Environment, Run, UserErrorException, cli
from toolkit.vision.modules import MODULES
from toolkit.vision.step import step


def words_of(module: str) -> dict[str, Any]:
    return {one.name: one for one in MODULES[module].parameters()}


def test_the_designers_parameters_have_its_defaults() -> None:
    train = words_of("train-pytorch-model")
    found = {name: one.default for name, one in train.items() if not one.required}
    expected = {
        "epochs": 5, "batch_size": 16, "num_warmup_steps": 0, "learning_rate": 0.001, "random_seed": 1, "patience": 3,
        "print_freq": 10,
    }  # fmt: skip
    assert found.items() >= expected.items()
    assert words_of("densenet")["model_name"].default == "densenet201"
    assert words_of("resnet")["model_name"].default == "resnext101_32x8d"
    assert words_of("split-image-directory")["fraction"].default == 0.9
    init = {name: one.default for name, one in words_of("init-image-transformation").items()}
    assert init["size"] == 256 and init["crop_size"] == 224 and init["random_horizontal_flip"] is True


@pytest.mark.parametrize("name", MODULES)
def test_every_parameter_is_described_and_every_module_says_what_it_writes(name: str) -> None:
    parameters = MODULES[name].parameters()
    assert all(one.help for one in parameters)
    assert any(one.is_output for one in parameters)
    assert MODULES[name].summary.endswith(".")


def test_signatures_are_read_without_torch() -> None:
    """A control script makes steps on machines that have none of the packages of training."""
    code = "import sys; from toolkit.vision.modules import MODULES; [one.parameters() for one in MODULES.values()]; "
    code += "print([name for name in ('torch', 'torchvision', 'pyarrow', 'matplotlib') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("name", MODULES)
def test_arguments_come_back_from_the_command_line(name: str) -> None:
    import argparse

    module = MODULES[name]
    values: dict[str, Any] = {}
    for one in module.parameters():
        samples = {bool: one.default is False, int: 7, float: 0.25, str: "/some where/ü"}
        values[one.name] = one.choices[-1] if one.choices else samples[one.kind]
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    assert vars(parser.parse_args(module.arguments(values))) == values


def test_a_command_does_its_module_and_says_what_was_written(
    cifar: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["vision", "split-image-directory", "--input-path", str(cifar[0]), "--fraction", "0.75"]
    command += ["--output1-path", str(tmp_path / "a"), "--output2-path", str(tmp_path / "b")]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith(f"Written: {tmp_path / 'a'}\nWritten: {tmp_path / 'b'}\n")
    assert cli.main([*command, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["module"] == "split-image-directory" and printed["output1_path"] == str(tmp_path / "a")


def test_what_cannot_be_done_is_one_sentence_and_exit_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["vision", "split-image-directory", "--input-path", str(tmp_path / "none")]
    command += ["--output1-path", str(tmp_path / "a"), "--output2-path", str(tmp_path / "b")]
    assert cli.main(command) == 1
    error = capsys.readouterr().err
    assert error.startswith("toolkit vision: InvalidDatasetError: ") and "does not exist" in error
    assert cli.main([*command, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    assert printed["Exception"]["ErrorId"] == "InvalidDatasetError" and printed["Exception"]["ErrorCode"] == 18
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_call_names_the_choices(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(["vision", "resnet", "--output-path", "x", "--model-name", "resnet19"])
    assert "resnet18" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main(["vision", "resnet", "--output-path", "x", "--pretrained", "perhaps"])
    assert "'perhaps' is neither true nor false" in capsys.readouterr().err


def test_a_step_needs_a_module_and_its_parameters() -> None:
    with pytest.raises(UserErrorException, match="there is no module 'train'; there are convert-to-image-directory, "):
        step("train")
    with pytest.raises(UserErrorException, match="Split Image Directory: missing a required argument: 'output1_path'"):
        step("split-image-directory", input_path="x")
    with pytest.raises(UserErrorException, match="DenseNet: got an unexpected keyword argument 'colour'"):
        step("densenet", output_path="x", colour=3)


def test_a_step_has_absolute_paths_and_a_container_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images").mkdir()
    environment = Environment("plain")
    config = step(
        "convert_to_image_directory", "docker", environment, input_path=Path("images"), output_path="new/converted"
    )
    images, output = str(tmp_path / "images"), str(tmp_path / "new" / "converted")
    assert config.arguments == ["convert-to-image-directory", "--input-path", images, "--output-path", output]
    assert config.run_config.target == "docker"
    mounted = config.run_config.environment.docker.arguments
    assert mounted == ["--volume", f"{tmp_path}:{tmp_path}", "--volume", f"{images}:{images}"]
    assert environment.docker.arguments == [], "the environment that was given stays as it is"


def test_a_failing_step_keeps_its_error_with_the_run(
    workspace: Any, tmp_path: Path, submit: Callable[..., Run]
) -> None:
    from toolkit import Experiment

    config = step(
        "split-image-directory", input_path=tmp_path / "none", output1_path=tmp_path / "a", output2_path=tmp_path / "b"
    )
    run = Experiment(workspace, "steps").submit(config)
    run.wait_for_completion(raise_on_error=False)
    assert run.get_status() == "Failed"
    info = json.loads(Path(run.directory.artifacts, "module_statistics", "error_info.json").read_text())
    assert info["Exception"]["ErrorCode"] == 18 and info["Exception"]["ExceptionType"] == "ModuleException"
    assert "InvalidDatasetError: " in run.get_details_with_logs()["logFiles"]["azureml-logs/70_driver_log.txt"]
    assert "Traceback" not in run.get_details_with_logs()["logFiles"]["azureml-logs/70_driver_log.txt"]
