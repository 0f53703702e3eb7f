"""The systems that log numbers, each as `begin(settings)`, which gives a function `log(name, value)` and an `end()`.

Everything is imported inside: a worker runs in the environment of the one system that it is asked for.
"""

import os
import time


def toolkit(settings):
    """`run.log` in a submitted run: the in-script side is on the path as it is in every run."""
    from toolkit import Run

    run = Run.get_context(allow_offline=False)
    return run.log, lambda: None


def file_line(settings):
    """A line-buffered file, and a line with the same fields as ours."""
    file = open("bare.jsonl", "w", buffering=1)  # noqa: SIM115 (open as long as the worker lives)
    step = iter(range(1 << 60))

    def log(name, value):
        file.write(
            f'{{"kind":"metric","name":"{name}","step":{next(step)},"time":{time.time():.6f},"value":{value!r}}}\n'
        )

    return log, file.close


def file_constant(settings):
    """A line-buffered file, and a line that is ready: nothing but the write."""
    file = open("bare.txt", "w", buffering=1)  # noqa: SIM115
    line = '{"kind":"metric","name":"loss","step":1234,"time":1790000000.123456,"value":0.12345678901234}\n'

    def log(name, value):
        file.write(line)

    return log, file.close


def mlflow(settings):
    """`mlflow.log_metric` into the store that `uri` names."""
    import mlflow

    mlflow.set_tracking_uri(settings["uri"])
    mlflow.set_experiment("benchmark")
    mlflow.start_run()
    return mlflow.log_metric, mlflow.end_run


def wandb(settings):
    """`wandb.log`, offline."""
    import wandb

    run = wandb.init(mode="offline", dir=os.getcwd(), project="benchmark")
    return lambda name, value: run.log({name: value}), run.finish


def trackio(settings):
    """`trackio.log`, with its local database."""
    import trackio

    run = trackio.init(project="benchmark", embed=False)
    return lambda name, value: run.log({name: value}), run.finish


def tensorboardx(settings):
    """`SummaryWriter.add_scalar` of tensorboardX."""
    from tensorboardX import SummaryWriter

    writer = SummaryWriter("events")
    step = iter(range(1 << 60))
    return lambda name, value: writer.add_scalar(name, value, next(step)), writer.close


def tensorboard(settings):
    """`Writer.add_scalar` of TensorBoard itself: what torch's SummaryWriter writes with, without torch."""
    from tensorboard.summary import Writer

    writer = Writer("events")
    step = iter(range(1 << 60))
    return lambda name, value: writer.add_scalar(name, value, next(step)), writer.close
