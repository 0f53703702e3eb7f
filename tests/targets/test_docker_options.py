"""What a target's settings and an environment's docker section come to in the words of the engine."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit import UserErrorException
from toolkit.targets import docker_options
from toolkit.targets.settings import size_in_bytes

GIB = 1 << 30


def asked(*arguments: str, **settings: object) -> dict[str, Any]:
    return docker_options.of(settings, {"arguments": list(arguments)})


def test_what_nobody_asked_for() -> None:
    assert asked() == {"network": "host", "init": True, "shm_size": 2 * GIB, "mounts": []}


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--network=none"], "network", "none"),
        (["--net", "bridge"], "network", "bridge"),
        (["--shm-size 8g"], "shm_size", 8 * GIB),
        (["-m", "512m"], "mem_limit", GIB // 2),
        (["--cpus=1.5"], "nano_cpus", 1_500_000_000),
        (["--gpus", "all"], "gpus", ["all"]),
        (["--gpus", "device=0,2"], "gpus", ["0", "2"]),
        (["-e", "A=1", "--env=B=2 3"], "environment", ["A=1", "B=2 3"]),
        (["--user=1000:1000"], "user", "1000:1000"),
        (["--privileged"], "privileged", True),
        (["--cap-add", "SYS_PTRACE"], "cap_add", ["SYS_PTRACE"]),
        (["--add-host", "db:10.0.0.1"], "extra_hosts", {"db": "10.0.0.1"}),
        (["--ulimit", "memlock=-1"], "ulimits", [{"name": "memlock", "soft": -1, "hard": -1}]),
        (["--ulimit", "nofile=1024:2048"], "ulimits", [{"name": "nofile", "soft": 1024, "hard": 2048}]),
    ],
)
def test_the_options_of_docker_run(arguments: list[str], name: str, value: object) -> None:
    assert asked(*arguments)[name] == value


def test_volumes_of_the_target_and_of_the_environment() -> None:
    found = asked("-v /a:/b:ro", "-v", "/c:/c", volumes=["/data", "/scratch:ro"])
    assert found["mounts"] == [
        {"source": "/data", "target": "/data", "read_only": False},
        {"source": "/scratch", "target": "/scratch", "read_only": True},
        {"source": "/a", "target": "/b", "read_only": True},
        {"source": "/c", "target": "/c", "read_only": False},
    ]


def test_the_environment_goes_before_the_target() -> None:
    assert asked("--network", "none", network="bridge")["network"] == "none"
    assert asked("-m", "1g", memory="8g")["mem_limit"] == GIB
    assert docker_options.of({"shm_size": "1g"}, {"shm_size": "4g"})["shm_size"] == 4 * GIB


def test_memory_is_not_swapped() -> None:
    assert asked(memory="1g")["memswap_limit"] == asked(memory="1g")["mem_limit"]


def test_the_hosts_ipc_needs_no_size() -> None:
    assert "shm_size" not in asked("--ipc=host") and asked("--ipc=host")["ipc_mode"] == "host"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pid=host"], "unrecognized arguments: --pid=host. Offered are: --add-host, --cap-add, --cpus"),
        (["--cpus", "many"], "argument --cpus: invalid float value: 'many'"),
        (["--memory", "lots"], "'lots' is not a size, as in 8g"),
        (["-v", "data:/data"], "the volume 'data:/data' cannot be mounted: give folders of this machine"),
        (["--add-host", "db"], "--add-host 'db' is not NAME:VALUE"),
        (["--ulimit", "nofile=many"], "--ulimit 'nofile=many' has no number"),
    ],
)
def test_what_cannot_be(arguments: list[str], words: str) -> None:
    with pytest.raises(UserErrorException) as caught:
        docker_options.check({"arguments": arguments})
    assert words in str(caught.value)


def test_gpus_become_a_device_request() -> None:
    def request(*gpus: str) -> Any:
        return docker_options.as_docker_takes({"gpus": [*gpus], "mounts": []})["device_requests"][0]

    assert request("GPU-1", "GPU-2")["DeviceIDs"] == ["GPU-1", "GPU-2"]
    assert request("all")["Count"] == -1
    assert request("2")["Count"] == 2


def test_whose_user_is_whose() -> None:
    asked = {"mounts": [], "user": "1000:1000"}
    assert docker_options.as_docker_takes(asked, ["name=seccomp", "name=rootless"])["user"] == "0:0"
    plain = docker_options.as_docker_takes(asked, ["name=seccomp"])
    assert plain["user"] == "1000:1000" and "userns_mode" not in plain
    remapped = docker_options.as_docker_takes(asked, ["name=userns"])
    assert remapped["user"] == "1000:1000" and remapped["userns_mode"] == "host"


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), (5, 5), ("1k", 1024), ("1.5g", 3 * GIB // 2), ("2GB", 2 * GIB), ("1Ti", 1 << 40)]
)
def test_sizes(text: object, size: int) -> None:
    assert size_in_bytes(text) == size


@pytest.mark.parametrize("text", ["", "g", "8x", "-1g", "1 2", True, None])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        size_in_bytes(text)
