"""Runs in containers: a submit to the first line against `docker run`, and what an edit of the code makes anew."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figure import Line, at_most, at_most_more
from benchmarks.images import bases, dockerfiles, engine, index
from benchmarks.images.engine import NAME, Engine
from benchmarks.images.ours import Ours
from benchmarks.images.packages import Packages, fetch
from benchmarks.interleave import in_turn, medians
from benchmarks.workers import Worker, WorkerError

TITLE = "runs in containers"

_WORKER = Path(__file__).parent / "workers" / "submit_to_container.py"
_NETWORKS = ("host", "bridge", "none")  # host is the target's default, bridge that of docker run
_SCRIPT = "import time; print(time.time(), flush=True)\n"
_CODE = "COPY code /code\n"
_PACKAGES = Packages("tiny", ("six",), ())


def measure(bench: Bench) -> Iterator[Line]:
    """The clock starts before the call, or the command, and is read by the script's first line."""
    with engine.connect(bench) as docker:
        bench.say("base image and packages")
        base = bases.python(docker, bench.scratch)
        served, source = bench.folder("index"), bench.folder("source")
        fetch(_PACKAGES, bases.python_version(docker, base), served)
        with index.serve(served) as address:
            ours = Ours(docker, bench.scratch / "ours", address, base)
            settings = {
                "source": str(source), "base": base, "networks": _NETWORKS,
                "requirements": str(ours.specification(_PACKAGES.base)),
            }  # fmt: skip
            with Worker(sys.executable, _WORKER, bench.folder("toolkit"), settings, ours.environment) as worker:
                yield from _first_line(bench, docker, worker, source)
                yield _edit(bench, docker, worker, base, address)


def _first_line(bench: Bench, docker: Engine, worker: Worker, source: Path) -> Iterator[Line]:
    bench.say("building the image")
    made = worker.ask(network=_NETWORKS[0], script=_SCRIPT)
    missing: dict[str, str] = {}
    measures: dict[str, Callable[[], float]] = {}
    for network in _NETWORKS:
        measures[f"ours {network}"] = partial(_submit, worker, network)
        measures[f"plain {network}"] = partial(_run, docker, network, source, made["image"], made["python"])
    values = medians(in_turn(measures, bench.times(15, 3), missing, warm_up=2))
    for network in _NETWORKS:
        what = f"submit to the first line in a container, image present, network {network}"
        ours, plain = values.get(f"ours {network}"), values.get(f"plain {network}")
        note = missing.get(f"ours {network}") or missing.get(f"plain {network}", "")
        yield Line(what, ours, plain, f"docker run --network={network}", "s", at_most_more(0.2, "s"), note)


def _submit(worker: Worker, network: str) -> float:
    return float(worker.ask(network=network, script=_SCRIPT)["seconds"])


def _run(docker: Engine, network: str, source: Path, image: str, python: str) -> float:
    began = time.time()
    command = ["run", "--rm", f"--network={network}", f"--volume={source}:/code:ro", image, python, "/code/first.py"]
    return float(docker.docker(*command).split()[0]) - began


def _edit(bench: Bench, docker: Engine, worker: Worker, base: str, address: str) -> Line:
    """The code is edited and submitted again; the peer's image has the code in its last layer."""
    bench.say("an edit of the code")
    before = docker.images()
    worker.ask(network=_NETWORKS[0], script=_SCRIPT + "print('edited')\n")
    ours = sum(docker.size(image) for image in docker.images() - before)
    peer, note = None, ""
    try:
        peer = _edit_peer(bench, docker, base, address)
    except (WorkerError, subprocess.SubprocessError) as reason:
        note = str(reason)
    what, name = "image made anew after an edit of the training code", "BuildKit, COPY of the code last"
    return Line(what, ours, peer, name, "bytes", at_most(0, "bytes"), note)


def _edit_peer(bench: Bench, docker: Engine, base: str, address: str) -> float:
    folder, tag = bench.scratch / "peer", f"{NAME}/code:latest"
    dockerfiles.UV.write(folder, base, _PACKAGES.base)
    (folder / "code").mkdir()
    with (folder / "Dockerfile").open("a") as file:
        file.write(_CODE)
    for script in (_SCRIPT, _SCRIPT + "print('edited')\n"):
        (folder / "code" / "first.py").write_text(script)
        docker.build(folder, tag, True, {"UV_DEFAULT_INDEX": f"{address}/simple"})
    return float(docker.client.api.history(tag)[0]["Size"])
