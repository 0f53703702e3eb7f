"""What an environment is asked to hold: the content of a conda or pip specification, without its name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from toolkit.errors import EnvironmentSpecificationError

PACKAGE_SOURCES = ("auto", "conda", "pypi")
CHANNEL_PRIORITIES = ("", "strict", "flexible", "disabled")


@dataclass(frozen=True)
class EnvironmentSpec:
    """An environment as it was asked for; equal content is an equal value.

    Args:
        channels: conda channels, the first has priority: names, URLs or `file://` folders.
        conda: the conda entries, as in "python=3.10".
        pip: the lines of the pip section, options such as `--extra-index-url URL` included.
        constraints: pip constraints (the content of `-c` files): versions for what is installed anyway.
        variables: environment variables of the runs, as pairs; no part of what is built.
        package_source: where conda packages come from. "conda": the channels. "pypi": their PyPI equivalents.
            "auto": the channels, and PyPI where no channel answers.
        channel_priority: "strict", "flexible" or "disabled", as conda has it; "" is flexible.
    """

    channels: tuple[str, ...] = ()
    conda: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    package_source: str = "auto"
    channel_priority: str = ""

    def __post_init__(self) -> None:
        for name, value, known in (
            ("package_source", self.package_source, PACKAGE_SOURCES),
            ("channel_priority", self.channel_priority, CHANNEL_PRIORITIES),
        ):
            if value not in known:
                choices = ", ".join(repr(choice) for choice in known)
                raise EnvironmentSpecificationError(f"{name} is {value!r}: it can be one of {choices}")

    @property
    def environment_variables(self) -> dict[str, str]:
        return dict(self.variables)

    def key(self, gpu: bool = False) -> str:
        """The 64 hex digits under which the environment is kept (see `key.spec_key`)."""
        from toolkit.environments.key import spec_key

        return spec_key(self, gpu)

    def to_dict(self) -> dict[str, Any]:
        """The specification as JSON has it."""
        document = {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self).items()}
        document["variables"] = dict(self.variables)
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> EnvironmentSpec:
        """The specification that `to_dict` wrote.

        Raises:
            EnvironmentSpecificationError: the document has a field that this version does not know.
        """
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(document) - set(known))
        if unknown:
            raise EnvironmentSpecificationError(
                f"an environment specification has the unknown fields {', '.join(unknown)}; known: {', '.join(known)}"
            )
        values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in document.items()}
        values["variables"] = tuple(sorted(dict(document.get("variables", {})).items()))
        return cls(**values)


def is_variable(name: str, value: str) -> bool:
    """Whether the system takes the two for an environment variable."""
    return bool(name) and "=" not in name and "\0" not in name + value
