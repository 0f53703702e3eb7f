import json
import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed here: it lives in a run's environment")
pytest.importorskip("numpy", reason="numpy is not installed here")

from .conftest import SOURCES  # noqa: E402


@pytest.fixture(scope="module")
def train(script_environment):
    """The script as a module; what it takes from `toolkit` is there only while it is imported."""
    before = {name: module for name, module in sys.modules.items() if name.split(".")[0] == "toolkit"}
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, script_environment["PYTHONPATH"])
    try:
        import train
    finally:
        sys.path.remove(script_environment["PYTHONPATH"])
        for name in [name for name in sys.modules if name.split(".")[0] == "toolkit"]:
            del sys.modules[name]
        sys.modules.update(before)
    return train


def start(arguments, folder, environment, **more):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-u", str(SOURCES / "train.py"), *arguments]
    return subprocess.Popen(
        command, cwd=folder, env={**environment, **more}, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def run(arguments, folder, environment, **more):
    process = start(arguments, folder, environment, **more)
    output, errors = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, output, errors)


def logged(run_directory):
    """What the script logged, {name: [values]}."""
    values = {}
    for spool in sorted((run_directory / "spool").glob("*.jsonl")):
        for line in spool.read_text().splitlines():
            record = json.loads(line)
            values.setdefault(record["name"], []).append(record["value"])
    return values


# -- the whole script ---------------------------------------------------------------------------------------


def test_forty_batches_outside_a_run(tmp_path, data, script_environment):
    home = tmp_path / "home"
    result = run(
        ["--max-batches", "40", "--log-every", "20", "--device", "cpu"],
        tmp_path,
        script_environment,
        TOOLKIT_DATA=str(data),
        TOOLKIT_HOME=str(home),
    )
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert [line for line in lines if line.startswith("epoch=1, batch=   20: loss 2.3")]
    assert [line for line in lines if line.startswith("epoch=1, batch=   40: loss 2.")]
    assert "Finished Training" in lines
    (directory,) = (home / "offline").iterdir()
    values = logged(directory)
    assert {name: len(numbers) for name, numbers in values.items()} == {
        "loss": 2,
        "images_per_second": 1,
        "accuracy": 1,
    }
    assert all(2.2 < loss < 2.4 for loss in values["loss"])  # ln 10 = 2.30: it knows nothing yet
    assert 0.05 < values["accuracy"][0] < 0.25
    weights = torch.load(tmp_path / "outputs" / "net.pt", weights_only=True)
    assert sum(tensor.numel() for tensor in weights.values()) == 62_006


def test_inside_a_run_with_worker_processes_it_draws_the_same_curve(tmp_path, data, script_environment):
    curves = []
    for workers in ("0", "2"):
        directory = tmp_path / f"run{workers}"
        directory.mkdir()
        result = run(
            ["--max-batches", "30", "--log-every", "10", "--workers", workers, "--data", str(data)],
            directory / "work",
            script_environment,
            TOOLKIT_RUN_DIR=str(directory),
        )
        assert result.returncode == 0, result.stderr
        assert "Attempted" not in result.stdout
        curves.append([logged(directory)[name] for name in ("loss", "accuracy")])
    assert curves[0] == curves[1]


def test_a_terminated_script_dies_of_the_signal(tmp_path, data, script_environment):
    process = start(["--log-every", "10"], tmp_path, script_environment, TOOLKIT_DATA=str(data))
    for line in process.stdout:
        if line.startswith("epoch=1"):
            break
    process.terminate()
    process.communicate()
    assert process.returncode == -15
    assert not (tmp_path / "outputs").exists()


def test_without_data_the_message_is_the_last_word(tmp_path, script_environment):
    (tmp_path / "file").write_text("")
    result = run(["--data", str(tmp_path / "file")], tmp_path, script_environment)
    assert result.returncode == 1
    assert result.stderr.startswith("train.py: CIFAR-10 cannot be kept in")
    assert "Traceback" not in result.stderr


# -- its parts ----------------------------------------------------------------------------------------------


def small_set(count):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator)
    return images, torch.arange(count)


def test_an_epoch_gives_every_image_once_in_a_new_order_each_time(train):
    images, labels = small_set(23)
    options = train.parse_arguments(["--device", "cpu"])
    generator = torch.Generator().manual_seed(0)
    orders = []
    for _ in range(2):
        epoch = list(train.batches((images, labels), options, generator))
        assert [len(part) for _, part in epoch] == [4, 4, 4, 4, 4, 3]
        orders.append(torch.cat([part for _, part in epoch]))
        assert torch.equal(torch.cat([inputs for inputs, _ in epoch]), images[orders[-1]].float() / 255)
        assert orders[-1].sort().values.tolist() == labels.tolist()
    assert not torch.equal(orders[0], orders[1])


class Recorder:
    def __init__(self):
        self.values = []

    def log(self, name, value):
        self.values.append((name, value))


@pytest.mark.parametrize(
    ("arguments", "losses", "epochs"),
    [
        (["--log-every", "2"], 6, 2),  # 6 batches an epoch
        (["--log-every", "4"], 2, 2),  # the rest of an epoch is not carried over
        (["--log-every", "2", "--max-batches", "8"], 4, 2),  # counted over epochs
        (["--log-every", "2", "--max-batches", "6"], 3, 1),  # no empty second epoch
        (["--log-every", "9"], 0, 2),
        (["--log-every", "1", "--batch-size", "64", "--epochs", "3"], 3, 3),
    ],
)
def test_what_is_logged_when(train, arguments, losses, epochs):
    recorder = Recorder()
    options = train.parse_arguments(["--device", "cpu", *arguments])
    images, labels = small_set(24)
    train.train(train.Net(), (images, labels % 10), options, recorder)
    names = [name for name, _ in recorder.values]
    assert names.count("loss") == losses
    assert names.count("images_per_second") == epochs
    assert all(type(value) is float for _, value in recorder.values)


def test_the_step_is_plain_sgd_with_momentum(train):
    images, labels = small_set(24)
    labels = labels % 10
    options = train.parse_arguments(["--device", "cpu", "--lr", "0.1", "--epochs", "1", "--log-every", "6"])
    torch.manual_seed(0)
    net, expected, recorder = train.Net(), train.Net(), Recorder()
    expected.load_state_dict(net.state_dict())
    train.train(net, (images, labels), options, recorder)

    losses, velocity = [], {}
    for part in torch.randperm(24, generator=torch.Generator().manual_seed(0)).split(4):
        loss = torch.nn.functional.cross_entropy(expected(images[part] / 255), labels[part])
        losses.append(loss.item())
        expected.zero_grad()
        loss.backward()
        with torch.no_grad():
            for name, weights in expected.named_parameters():
                velocity[name] = velocity.get(name, 0) * 0.9 + weights.grad
                weights -= 0.1 * velocity[name]
    for ours, theirs in zip(net.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert recorder.values[0][1] == pytest.approx(sum(losses) / 6, rel=1e-5)


def test_accuracy_is_the_share_of_hits(train):
    class Label(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.one_hot((x[:, 0, 0, 0] * 255).round().long(), 10).float()

    images = torch.zeros(1500, 3, 32, 32, dtype=torch.uint8)
    images[:, 0, 0, 0] = torch.arange(1500) % 10
    labels = torch.arange(1500) % 10
    labels[:300] = (labels[:300] + 1) % 10
    assert train.evaluate(Label(), (images, labels)) == pytest.approx(0.8)


@pytest.mark.parametrize(("batch_size", "openmp", "threads"), [(4, None, 1), (128, None, 3), (4, "3", 3)])
def test_small_batches_take_one_thread(train, monkeypatch, batch_size, openmp, threads):
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if openmp:
        monkeypatch.setenv("OMP_NUM_THREADS", openmp)
    try:
        torch.set_num_threads(3)
        train.set_threads(batch_size)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


# -- arguments ----------------------------------------------------------------------------------------------


def test_the_defaults_are_the_tutorials(train, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert vars(train.parse_arguments([])) == {
        "epochs": 2,
        "batch_size": 4,
        "lr": 0.001,
        "momentum": 0.9,
        "log_every": 2000,
        "max_batches": 0,
        "device": torch.device("cpu"),
        "data": None,
        "seed": 0,
        "workers": 0,
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "argument --epochs: '0' is not a whole number, 1 or more"),
        (["--epochs", "1.5"], "argument --epochs: '1.5' is not a whole number, 1 or more"),
        (["--batch-size", "-4"], "argument --batch-size: '-4' is not a whole number, 1 or more"),
        (["--log-every", "none"], "argument --log-every: 'none' is not a whole number, 1 or more"),
        (["--max-batches", "-1"], "argument --max-batches: '-1' is not a whole number, 0 or more"),
        (["--workers", "-1"], "argument --workers: '-1' is not a whole number, 0 or more"),
        (["--seed", str(2**63)], "is not a whole number, 0 or more"),
        (["--lr", "0"], "argument --lr: '0' is not a number above 0"),
        (["--lr", "nan"], "argument --lr: 'nan' is not a number above 0"),
        (["--lr", "inf"], "argument --lr: 'inf' is not a number above 0"),
        (["--momentum", "1"], "argument --momentum: '1' is not a number from 0 up to, not including, 1"),
        (["--device", "tpu"], "argument --device: 'tpu' is not one of auto, cpu, cuda, cuda:1, mps"),
        (["--device", "cpu:x"], "argument --device: 'cpu:x' is not one of"),
        (["--epoch-count", "3"], "unrecognized arguments: --epoch-count 3"),
    ],
)
def test_a_wrong_argument_is_explained(train, capsys, arguments, message):
    with pytest.raises(SystemExit) as caught:
        train.parse_arguments(arguments)
    assert caught.value.code == 2
    assert message in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_explained(train, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        train.parse_arguments(["--device", "cuda"])
    assert "finds no cuda on this machine; use auto or cpu, or a compute target" in capsys.readouterr().err


def test_auto_takes_a_gpu_where_there_is_one(train, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert train.training_device("auto").type == "cuda"
    assert train.training_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(train.argparse.ArgumentTypeError, match="finds no cuda:1"):
        train.training_device("cuda:1")


def test_the_environment_asks_no_conda_channel_for_more_than_python():
    yaml = pytest.importorskip("yaml", reason="pyyaml is not installed here")
    path = SOURCES.parent / "environments" / "pytorch-env.yml"
    spec = yaml.safe_load(path.read_text())
    pip = spec["dependencies"].pop()["pip"]
    assert spec["dependencies"] == ["python>=3.10,<3.14", "pip"]
    assert [line.split(">=")[0] for line in pip] == ["torch", "torchvision", "pillow", "numpy"]
    assert path.stem == spec["name"]
