"""What a run configuration says of data, bound to the run: its arguments as text, the inputs and outputs to provide."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.script_run_config import ScriptRunConfig
    from toolkit.workspace import Workspace


@dataclass(frozen=True)
class Binding:
    """The data of a run. It holds for any run of the same configuration: a sweep binds once for all its children.

    Attributes:
        arguments: the arguments as text; an input or output is `$AZUREML_DATAREFERENCE_<name>`, which the launcher
            expands where the script starts.
        command: likewise the words of a shell command.
        record: what goes into the definition as `data`: inputs and outputs by name.
    """

    arguments: list[str]
    command: list[str]
    record: dict[str, Any] = field(default_factory=dict)


def bind(workspace: Workspace, config: ScriptRunConfig) -> Binding:
    """Bind the data of `config`. Nothing is written in the workspace but data sets that have no id yet.

    Files that are not on this machine and that the run is to have as files are fetched, with a progress bar.

    Raises:
        UserErrorException: an argument that is neither text, a number, a path nor data.
    """
    given, run_config = config.arguments or [], config.run_config
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        return Binding(config.argument_list, config.command_line)  # which says what is wrong
    words = [config.command] if isinstance(config.command, str) else list(config.command or [])
    named = [run_config.data, run_config.data_references, run_config.output_data]
    plain = (str, bool, int, float, os.PathLike, type(None))
    if not any(named) and all(isinstance(one, plain) for one in [*given, *words]):
        return Binding(config.argument_list, config.command_line)
    from toolkit.bound_data import Collected

    found = Collected(workspace)
    bound = [found.argument(value) for value in given]
    command = [found.argument(value) for value in words]
    for data in named:
        for name, value in (data or {}).items():
            found.named(str(name), value)
    for notice in found.notices:
        print(f"toolkit: {notice}", file=sys.stderr)
    return Binding(bound, command, found.record())
