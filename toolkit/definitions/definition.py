"""An `Environment` as plain data, as it is registered, and back."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from toolkit.environment import Environment


def of(environment: Environment) -> dict[str, Any]:
    """What makes an environment what it is: not its name, its version, and what signs in to registries.

    Raises:
        EnvironmentSpecificationError: an entry is not one that conda or pip knows.
    """
    specification = environment.python.specification
    return {
        "user_managed_dependencies": bool(environment.python.user_managed_dependencies),
        "interpreter_path": environment.python.interpreter_path,
        "specification": specification.to_dict() if specification else None,
        "environment_variables": dict(environment.environment_variables),
        "package_source": environment.package_source,
        "docker": environment.docker.to_dict(),
        "locks": sorted(lock.hash for lock in environment.locks if environment.locks_are_given),
    }


def digest(definition: dict[str, Any]) -> str:
    """64 hex digits: equal for identical definitions."""
    return hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()


def load(name: str, version: str, definition: dict[str, Any]) -> Environment:
    """The environment of a definition that `of` made, without its locks."""
    from toolkit.docker_section import DockerSection
    from toolkit.environment import Environment
    from toolkit.environments.spec import EnvironmentSpec

    environment = Environment(name)
    environment.version = version
    environment.python.user_managed_dependencies = definition["user_managed_dependencies"]
    environment.python.interpreter_path = definition["interpreter_path"]
    if definition["specification"]:
        environment.python.specification = EnvironmentSpec.from_dict(definition["specification"])
    environment.environment_variables = dict(definition["environment_variables"])
    environment.package_source = definition["package_source"]
    environment.docker = DockerSection.from_dict(definition.get("docker") or {})
    return environment
