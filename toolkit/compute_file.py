"""Compute targets written into `workspace.yaml`, whose comments and order stay as they are."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import configuration
from toolkit.configuration import WorkspaceConfiguration
from toolkit.errors import ComputeTargetException, UserErrorException, storage_errors
from toolkit.inscript.files import write_text

if TYPE_CHECKING:
    from ruamel.yaml import YAML

    from toolkit.targets.kind import Kind

_KEY = "compute_targets"


def add(path: Path, name: str, settings: Mapping[str, Any], replaces: bool = False) -> None:
    """Write a compute target into the configuration `path`.

    Args:
        settings: with `type`; checked as they are when a run is submitted; files that they name have to be there.
        replaces: whether a target of this name may be there already.

    Raises:
        ComputeTargetException: there is such a target, or the settings cannot work; with those that can.
        UserErrorException: the file is broken.
        StorageError: it cannot be written.
    """
    known = configuration.load(path)
    if not name.strip() or any(ord(character) < 33 for character in name):
        raise ComputeTargetException(f"{name!r} cannot be the name of a compute target: use letters and hyphens")
    if name in known.compute_targets and not replaces:
        raise ComputeTargetException(
            f"there is a compute target '{name}' already, of type {known.compute_targets[name]['type']}: take another "
            "name, or say --replace"
        )
    changed = replace(known, compute_targets={**known.compute_targets, name: dict(settings)})
    _check(name, changed, path)
    document = _document(path)
    _targets_of(document, known)[_quoted(name)] = _inline(settings)
    _write(path, document)


def remove(path: Path, name: str) -> None:
    """Take a compute target out of the configuration `path`. Runs that it has go on.

    Raises:
        ComputeTargetException: there is none of this name, or another one shares its slots.
    """
    known = configuration.load(path)
    sharing = [other for other, settings in known.compute_targets.items() if settings.get("shares") == name]
    document = _document(path)
    targets = _targets_of(document, known)
    if name not in targets:
        raise ComputeTargetException(f"{path} has no compute target '{name}'; it has: {', '.join(sorted(targets))}")
    if sharing:
        raise ComputeTargetException(f"the slots of '{name}' are those of {', '.join(sharing)} too: remove that first")
    del targets[name]
    _write(path, document)


def kind_named(name: str) -> Kind:
    """The kind of this name.

    Raises:
        ComputeTargetException: there is none; with those that there are.
    """
    from toolkit.targets import registry

    found = registry.kind(name)
    if found is None:
        raise ComputeTargetException(f"there is no kind of compute target '{name}'. There are:\n{kinds()}")
    return found


def kinds() -> str:
    """The kinds of compute targets, a line each."""
    from toolkit.targets import registry

    return "\n".join(f"  {name:<12}{kind.summary}" for name, kind in sorted(registry.kinds().items()))


def _check(name: str, changed: WorkspaceConfiguration, path: Path) -> None:
    """As at a submit, and what is refused is followed by what can be said."""
    from toolkit.targets import registry

    kind = kind_named(str(changed.compute_targets[name]["type"]))
    try:
        registry.check(name, changed, path)
        for key, value in changed.compute_targets[name].items():
            if not kind.settings[key].is_there(value):
                raise ComputeTargetException(
                    f"compute target '{name}' has {key} {value!r}, which is no file that can be read here; it must be "
                    f"{kind.settings[key].says}"
                )
    except ComputeTargetException as error:
        said = str(error).replace(f". Mend it in {path}", "").replace(f"; mend it in {path}", "")
        raise ComputeTargetException(f"{said}. Nothing was written. It takes:\n{options_of(kind)}") from error


def options_of(kind: Kind) -> str:
    """The settings of a kind, a line each."""
    return "\n".join(
        f"  {key + '=…':<22}{setting.says}{' (needed)' if key in kind.required else ''}"
        for key, setting in kind.settings.items()
        if key != "type"
    )


def _yaml() -> YAML:
    from ruamel.yaml import YAML

    reader = YAML()
    reader.preserve_quotes = True
    reader.width = 4096  # a target stays on its line
    return reader


def _document(path: Path) -> Any:
    from ruamel.yaml.error import YAMLError

    try:
        return _yaml().load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return {}
    except YAMLError as error:  # what YAML's other reader takes: a key that is there twice
        raise UserErrorException(f"{path} cannot be changed: {error}. Mend it there") from error


def _targets_of(document: Any, known: WorkspaceConfiguration) -> Any:
    """The targets of the file; those that it has by default, where it says nothing of targets."""
    if not document.get(_KEY):
        document[_KEY] = {name: _inline(settings) for name, settings in known.compute_targets.items()}
    return document[_KEY]


def _inline(settings: Mapping[str, Any]) -> Any:
    from ruamel.yaml.comments import CommentedMap

    written = CommentedMap({key: _quoted(value) for key, value in settings.items()})
    written.fa.set_flow_style()
    return written


def _quoted(value: Any) -> Any:
    """Texts in quotes that would else be read as something else: 12:00:00 is a number in YAML 1.1, "on" a truth."""
    import yaml
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString

    if isinstance(value, list):
        return [_quoted(one) for one in value]
    if isinstance(value, dict):
        return {key: _quoted(one) for key, one in value.items()}
    if not isinstance(value, str):
        return value
    try:
        plain = yaml.safe_load(value) == value
    except yaml.YAMLError:  # ruamel quotes it
        plain = True
    return value if plain else DoubleQuotedScalarString(value)


def _write(path: Path, document: Any) -> None:
    text = io.StringIO()
    _yaml().dump(document, text)
    with storage_errors("cannot write the workspace's configuration", path):
        write_text(str(path), text.getvalue())
