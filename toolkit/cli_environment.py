"""`toolkit environment list|lock|build|explain`: environments from the command line."""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    from toolkit.environment import Environment
    from toolkit.workspace import Workspace

_PIP = (".txt", ".in")
_CONDA = (".yml", ".yaml")


def run(options: argparse.Namespace, workspace: Callable[[argparse.Namespace], Workspace]) -> None:
    """Do what `options.what` says.

    Args:
        workspace: opens the workspace that the options name, where one is needed.
    """
    if options.what == "list":
        _list(options, workspace(options))
    elif options.what == "lock":
        _lock(options, workspace)
    elif options.what == "build":
        _build(options, workspace(options))
    else:
        _explain(options, workspace(options))


def _list(options: argparse.Namespace, workspace: Workspace) -> None:
    from toolkit.environment import Environment

    rows = [_facts(environment) for environment in Environment.list(workspace).values()]
    if options.json:
        print(json.dumps(rows))
    elif not rows:
        print(f"The workspace '{workspace.name}' has no environments yet: a submit registers its own")
    for row in [] if options.json else rows:
        print(f"{row['name']}  {row['version']}  {', '.join(row['packages']) or 'an interpreter as it is'}")


def _facts(environment: Environment) -> dict[str, Any]:
    specification = environment.python.specification
    packages = [*specification.conda, *specification.pip] if specification else []
    locks = [{"hash": held.hash, "kind": held.kind, "gpu": held.gpu} for held in environment.locks]
    return {"name": environment.name, "version": environment.version, "packages": packages, "locks": locks}


def _lock(options: argparse.Namespace, workspace: Callable[[argparse.Namespace], Workspace]) -> None:
    file = _file(options)
    if file is None:
        found: Workspace | None = workspace(options)
        environment = _named(options, workspace(options))
    else:
        found = workspace(options) if options.workspace or options.image else None
        environment = _from_file(file, with_lock=False)
    path = environment.lock(options.output, options.gpu, options.image or None, found, options.upgrade)
    _print(options, {"lock": path, "hash": environment.locks[0].hash}, f"Wrote {path}")


def _build(options: argparse.Namespace, workspace: Workspace) -> None:
    from toolkit.definitions import building

    environment = _of(options, workspace)
    target = options.target or building.default_target(environment, workspace)
    build = building.start(building.request_of(environment, workspace, target))
    with redirect_stdout(sys.stderr if options.json else sys.stdout):
        build.wait_for_completion(show_output=True)
    if options.json:
        print(json.dumps({"environment": environment.name, "target": target, "status": build.status}))


def _explain(options: argparse.Namespace, workspace: Workspace) -> None:
    environment = _of(options, workspace)
    with redirect_stdout(io.StringIO()):
        lines = environment.explain(workspace, options.target)
    _print(options, {"environment": environment.name, "lines": lines}, "\n".join(lines))


def _of(options: argparse.Namespace, workspace: Workspace) -> Environment:
    file = _file(options)
    return _from_file(file) if file else _named(options, workspace)


def _file(options: argparse.Namespace) -> Path | None:
    """The specification that is named; None where a registered environment is."""
    if not options.environment:
        raise UserErrorException(
            f"say of what: `toolkit environment {options.what} environment.yml`, or the name of a registered one "
            "(`toolkit environment list`)"
        )
    path = Path(options.environment)
    return path if path.suffix in (*_PIP, *_CONDA) or os.sep in options.environment else None


def _from_file(file: Path, with_lock: bool = True) -> Environment:
    from toolkit.environment import Environment
    from toolkit.environments.specification_file import load_conda_specification, load_pip_requirements

    load = load_pip_requirements if file.suffix in _PIP else load_conda_specification
    return Environment._of(file.name.removesuffix(file.suffix), load(file), file, with_lock)


def _named(options: argparse.Namespace, workspace: Workspace) -> Environment:
    from toolkit.environment import Environment

    return Environment.get(workspace, options.environment)


def _print(options: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts) if options.json else text)
