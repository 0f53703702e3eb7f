"""What a run configuration says of data, bound to the run: its arguments as text, the inputs and outputs to provide."""

from __future__ import annotations

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

    Raises:
        UserErrorException: an argument that is neither text, a number, a path nor data.
    """
    return Binding(config.argument_list, config.command_line)
