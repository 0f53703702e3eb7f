"""`toolkit compute`: the compute targets of a workspace, listed, added and removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from toolkit import compute_file
from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    import argparse

    from toolkit.targets.kind import Kind
    from toolkit.workspace import Workspace


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("what", choices=("list", "add", "remove", "options"), help="what to do")
    parser.add_argument("name", nargs="?", help="add, remove: the compute target; options: the kind")
    says = "add: its settings, as in host=me@gpu-box gpus=1, or as in --host me@gpu-box --gpus 1"
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=says)
    parser.add_argument("-k", "--kind", help="add: local, docker, ssh, slurm, ray, kubernetes, or of another package")
    parser.add_argument("--replace", action="store_true", help="add: instead of the target of this name")


def run(options: argparse.Namespace, workspace: Workspace) -> None:
    """Do what was asked for."""
    path = workspace.paths.configuration
    if options.what == "list":
        _list(options, workspace)
        return
    if options.what == "options":
        _options(options)
        return
    if not options.name:
        raise UserErrorException(f"`toolkit compute {options.what}` needs the name of a compute target")
    if options.what == "remove":
        compute_file.remove(path, options.name)
        _say(options, {"removed": options.name}, f"Removed '{options.name}' from {path}")
        return
    if not options.kind:
        raise UserErrorException(f"--kind says what '{options.name}' is, one of\n{compute_file.kinds()}")
    settings = _chosen(options.settings, options.kind)
    compute_file.add(path, options.name, settings, options.replace)
    told = f"Added '{options.name}' to {path}. Runs go there with compute_target=\"{options.name}\""
    _say(options, {"added": options.name, "settings": settings}, told)


def complete(options: argparse.Namespace, words: list[str]) -> None:
    """Take what argparse leaves over: words behind an option, and settings as options, as in `--host me@gpu-box`.

    Raises:
        UserErrorException: an option without a value.
    """
    found = _settings_of(words)
    if options.name is None and found and "=" not in found[0]:
        options.name = found.pop(0)
    options.settings += found


def _settings_of(words: list[str]) -> list[str]:
    """Words of the command line as KEY=VALUE: "--gpus", "1" is "gpus=1".

    Raises:
        UserErrorException: an option without a value.
    """
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        if not word.startswith("--"):
            found.append(word)
            continue
        key = word[2:].replace("-", "_")
        if "=" not in key:
            value = next(rest, None)
            if value is None:
                raise UserErrorException(f"{word} needs a value, as in {word}=1")
            key = f"{key}={value}"
        found.append(key)
    return found


def _chosen(words: list[str], kind_name: str) -> dict[str, Any]:
    """The settings of a target of this kind, its type first.

    Raises:
        UserErrorException: a word that is no setting, or one that is there twice.
    """
    chosen: dict[str, Any] = {"type": kind_name}
    kind = compute_file.kind_named(kind_name)
    for key, value in (_setting(word, kind) for word in words):
        if key in chosen:
            raise UserErrorException(f"{key} is given twice" if key != "type" else "--kind says the type: leave it out")
        chosen[key] = value
    return chosen


def _setting(text: str, kind: Kind) -> tuple[str, Any]:
    """A setting with its value, which is read as YAML: 2 is a number, [a, b] a list.

    Text stays text where the setting takes nothing else: YAML reads 12:00:00 and 007 as numbers.
    """
    import yaml

    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UserErrorException(f"{text!r} is no setting: write KEY=VALUE, as in gpus=1")
    try:
        read = yaml.safe_load(value)
    except yaml.YAMLError:
        return key, value
    known = kind.settings.get(key)
    only_text = known is not None and not known.accepts(read) and known.accepts(value)
    return key, value if only_text else read


def _list(options: argparse.Namespace, workspace: Workspace) -> None:
    targets = workspace.configuration.compute_targets
    if options.json:
        print(json.dumps(targets))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "type", "settings", box=None, header_style="bold")
    for name, settings in targets.items():
        rest = ", ".join(f"{key}: {value}" for key, value in settings.items() if key != "type")
        table.add_row(name, str(settings["type"]), rest)
    Console(highlight=False).print(table)


def _options(options: argparse.Namespace) -> None:
    kind = compute_file.kind_named(options.name or options.kind or "")
    if options.json:
        print(json.dumps({key: setting.says for key, setting in kind.settings.items()}))
        return
    print(f"{kind.summary}\n{compute_file.options_of(kind)}")


def _say(options: argparse.Namespace, facts: dict[str, Any], text: str) -> None:
    print(json.dumps(facts) if options.json else text)
