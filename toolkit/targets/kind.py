"""What a kind of compute target is: where its class is, and what the workspace configuration may say of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.targets.settings import Setting


@dataclass(frozen=True)
class Kind:
    """A kind of compute target. One of another package is an entry point of the group `toolkit.compute_targets`.

    Attributes:
        home: module and class, as in "toolkit.targets.local:LocalTarget": it is called with the target's name, its
            settings, the `WorkspaceConfiguration` and the `WorkspacePaths`, and is a `ComputeTarget`.
        settings: what the configuration may say of one.
        summary: what it is, in a few words.
        required: the settings that it cannot be without.
        example: settings that make one, for those who ask how.
        runs_images: its runs are containers, whose environments are images.
        is_here: its runs have the GPUs and the interpreters of this machine.
        default_python: the interpreter of runs that bring none, where that is not the one that submits.
        spans_nodes: it starts the processes of a distributed run on as many nodes as are asked for.
        check: module and function, called at submit with the target's name, its settings and the definition of the
            run, before anything is written; it gives notices, and raises ComputeTargetException for what cannot work.
        examine: module and function, called by `toolkit doctor` with the target's name and its settings; it says in a
            few words what answers, and raises ToolkitError where nothing does, with what to do.
    """

    home: str
    settings: Mapping[str, Setting]
    summary: str = ""
    required: tuple[str, ...] = ()
    example: Mapping[str, object] = field(default_factory=dict)
    runs_images: bool = False
    is_here: bool = True
    default_python: str = ""
    spans_nodes: bool = False
    check: str = ""
    examine: str = ""
