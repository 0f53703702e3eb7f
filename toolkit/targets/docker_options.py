"""The options of a container: from a target's settings and an environment's docker section to what the engine takes."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from toolkit.errors import UserErrorException
from toolkit.targets.settings import size_in_bytes

DEFAULT_NETWORK = "host"  # as for a process of this machine: proxies, mirrors and servers on it stay reachable
DEFAULT_SHM_SIZE = "2g"  # Docker's 64 MB end DataLoader workers with a bus error; 2 GB is what Azure ML gave


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserErrorException(
            f"environment.docker.arguments: {message}. Offered are: {', '.join(sorted(_offered()))}; "
            "the rest can be set for a whole target in the workspace's configuration"
        )


def _parser() -> argparse.ArgumentParser:
    """The part of the options of `docker run` that is offered."""
    parser = _Parser(add_help=False, allow_abbrev=False, prog="docker.arguments")
    for names, kind in (
        (("--network", "--net"), str), (("-m", "--memory"), str), (("--cpus",), float), (("--shm-size",), str),
        (("--ipc",), str), (("--gpus",), str), (("-u", "--user"), str), (("--hostname",), str), (("--runtime",), str),
    ):  # fmt: skip
        parser.add_argument(*names, type=kind)
    for names in (("-v", "--volume"), ("-e", "--env"), ("--cap-add",), ("--device",), ("--add-host",), ("--ulimit",)):
        parser.add_argument(*names, action="append", default=[])
    for name in ("--privileged", "--init", "--rm"):
        parser.add_argument(name, action="store_true")
    return parser


def _offered() -> list[str]:
    return [action.option_strings[-1] for action in _parser()._actions]


def check(section: Mapping[str, Any]) -> None:
    """Refuse a docker section that cannot work, before anything is written.

    Raises:
        UserErrorException: an argument that is not offered, or a size that is none.
    """
    of({}, section)


def of(settings: Mapping[str, Any], section: Mapping[str, Any]) -> dict[str, Any]:
    """What a target's settings and then an environment's docker section ask for, as plain data.

    Raises:
        UserErrorException: an argument that is not offered, or a size that is none.
    """
    words = [word for argument in section.get("arguments") or [] for word in _words(str(argument))]
    given = _parser().parse_args(words)
    network = given.network or settings.get("network", DEFAULT_NETWORK)
    asked: dict[str, Any] = {"network": network, "init": True}
    shm = given.shm_size or section.get("shm_size") or settings.get("shm_size", DEFAULT_SHM_SIZE)
    if given.ipc:
        asked["ipc_mode"] = given.ipc
    if given.ipc != "host":
        asked["shm_size"] = _bytes("shm_size", shm)
    memory = given.memory or settings.get("memory")
    if memory:
        asked["mem_limit"] = asked["memswap_limit"] = _bytes("memory", memory)
    cpus = given.cpus or settings.get("cpus")
    if cpus:
        asked["nano_cpus"] = int(float(cpus) * 1e9)
    volumes = [*settings.get("volumes", []), *given.volume]
    asked["mounts"] = [_mount(volume) for volume in volumes]
    if given.gpus:
        asked["gpus"] = _gpus(given.gpus)
    if given.user:
        asked["user"] = given.user
    for name in ("hostname", "runtime"):
        if getattr(given, name):
            asked[name] = getattr(given, name)
    if given.privileged:
        asked["privileged"] = True
    if given.env:
        asked["environment"] = list(given.env)
    for option, name in (("cap_add", "cap_add"), ("device", "devices")):
        if getattr(given, option):
            asked[name] = list(getattr(given, option))
    if given.add_host:
        asked["extra_hosts"] = dict(_pair("--add-host", one, ":") for one in given.add_host)
    if given.ulimit:
        asked["ulimits"] = [_ulimit(one) for one in given.ulimit]
    return asked


def _words(argument: str) -> list[str]:
    """An option with its value in one text, as in "--shm-size 8g", is two words; all else is one."""
    option, blank, _ = argument.partition(" ")
    return shlex.split(argument) if blank and option.startswith("-") and "=" not in option else [argument]


def _bytes(what: str, text: object) -> int:
    try:
        return size_in_bytes(text)
    except ValueError as error:
        raise UserErrorException(f"environment.docker: {what}: {error}") from error


def _mount(volume: str) -> dict[str, Any]:
    """A bind mount from "/folder", "/folder:/inside" or "/folder:/inside:ro"; a lone folder keeps its path."""
    parts = volume.split(":")
    mode = parts.pop() if parts[-1] in ("ro", "rw") else "rw"
    if len(parts) > 2 or not parts[0].startswith("/"):
        raise UserErrorException(
            f"the volume {volume!r} cannot be mounted: give folders of this machine, as in /data or /data:/mnt/data:ro"
        )
    return {"source": parts[0], "target": parts[-1], "read_only": mode == "ro"}


def _gpus(text: str) -> list[str]:
    return ["all"] if text == "all" else text.removeprefix("device=").split(",")


def _pair(option: str, text: str, separator: str) -> tuple[str, str]:
    name, found, value = text.partition(separator)
    if not found:
        raise UserErrorException(f"environment.docker.arguments: {option} {text!r} is not NAME{separator}VALUE")
    return name, value


def _ulimit(text: str) -> dict[str, Any]:
    name, limits = _pair("--ulimit", text, "=")
    soft, _, hard = limits.partition(":")
    try:
        return {"name": name, "soft": int(soft), "hard": int(hard or soft)}
    except ValueError as error:
        raise UserErrorException(f"environment.docker.arguments: --ulimit {text!r} has no number") from error


def as_docker_takes(asked: Mapping[str, Any], security: Sequence[str] = ()) -> dict[str, Any]:
    """Keyword arguments of docker-py's `containers.create`.

    Args:
        security: the engine's security options. In a rootless engine root in a container is the engine's user outside;
            with remapped users no id in a container is the same outside, unless the container is left out of that.
    """
    from docker.types import DeviceRequest, Mount, Ulimit

    given = dict(asked)
    gpus: Sequence[str] = given.pop("gpus", [])
    if gpus:
        named = {"count": -1} if list(gpus) == ["all"] else {"device_ids": list(gpus)}
        if len(gpus) == 1 and gpus[0].isdigit() and "count" not in named:
            named = {"count": int(gpus[0])}  # `--gpus 2`: as many as that
        given["device_requests"] = [DeviceRequest(capabilities=[["gpu"]], **named)]
    given["mounts"] = [Mount(type="bind", **mount) for mount in given["mounts"]]
    if "ulimits" in given:
        given["ulimits"] = [Ulimit(**one) for one in given["ulimits"]]
    if any("rootless" in option for option in security):
        given["user"] = "0:0"
    elif any("userns" in option for option in security):
        given["userns_mode"] = "host"
    return given
