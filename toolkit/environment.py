"""`Environment`: the Python and the packages of a run, by name, from a conda or pip specification."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import hashlib
import json
import os
import re
import shutil
import sys
from typing import TYPE_CHECKING, Any

from toolkit.errors import UserErrorException, storage_errors
from toolkit.inscript.files import claim_json, read_json

if TYPE_CHECKING:
    from toolkit.environments.spec import EnvironmentSpec
    from toolkit.workspace import Workspace


class PythonSection:
    """How an environment gets its Python.

    Attributes:
        user_managed_dependencies: True runs on `interpreter_path` as it is; nothing is built.
        interpreter_path: of a user-managed environment; "python" is the interpreter that submits.
        specification: the packages that are asked for, or None.
    """

    def __init__(self) -> None:
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self.specification: EnvironmentSpec | None = None


class Environment:
    """An environment. One without a specification runs on the interpreter that submits.

    Attributes:
        name: letters, digits, `-`, `_`, `.`.
        version: "1", "2", … once it is registered, else None.
        python: see `PythonSection`.
        environment_variables: variables set for the runs.
        package_source: where conda packages come from: "auto", "conda" or "pypi"; None is the workspace's default.
    """

    def __init__(self, name: str, **kwargs: object) -> None:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9][\w.-]{0,254}", name):
            raise UserErrorException(
                f"'{name}' cannot be the name of an environment: use letters, digits, hyphens, underscores or dots, "
                "a letter or digit first"
            )
        self.name = name
        self.version: str | None = None
        self.python = PythonSection()
        self.environment_variables: dict[str, str] = {}
        self.package_source: str | None = None

    @staticmethod
    def from_conda_specification(name: str, file_path: str | os.PathLike[str]) -> Environment:
        """An environment from a conda `environment.yml`.

        Raises:
            EnvironmentSpecificationError: the file is missing, broken, unsafe, or has keys that are not known.
        """
        from toolkit.environments.specification_file import load_conda_specification

        return Environment._of(name, load_conda_specification(file_path))

    @staticmethod
    def from_pip_requirements(
        name: str, file_path: str | os.PathLike[str], pip_version: str | None = None
    ) -> Environment:
        """An environment from a `requirements.txt`, on any Python that the machine has.

        Raises:
            EnvironmentSpecificationError: the file is missing or broken.
        """
        from toolkit.environments.specification_file import load_pip_requirements

        return Environment._of(name, load_pip_requirements(file_path))

    @staticmethod
    def _of(name: str, specification: EnvironmentSpec) -> Environment:
        environment = Environment(name)
        environment.python.specification = specification
        environment.environment_variables = dict(specification.environment_variables)
        return environment

    def clone(self, new_name: str) -> Environment:
        """A copy under another name, without a version."""
        other = Environment(new_name)
        other.python = copy.deepcopy(self.python)
        other.environment_variables = dict(self.environment_variables)
        other.package_source = self.package_source
        return other

    # -- as a run needs it ----------------------------------------------------------------------------------------

    @property
    def uses_own_interpreter(self) -> bool:
        """Whether runs use an interpreter as it is, so that nothing is built."""
        return self.python.user_managed_dependencies or self.python.specification is None

    def resolve(self, package_source: str) -> dict[str, Any]:
        """What a run's definition says of its environment: plain data.

        Raises:
            UserErrorException: `interpreter_path` names no interpreter.
        """
        resolved: dict[str, Any] = {"name": self.name, "variables": dict(self.environment_variables)}
        if self.uses_own_interpreter:
            return {**resolved, "user_managed": True, "interpreter": self._interpreter()}
        assert self.python.specification is not None
        source = self.package_source or package_source
        specification = dataclasses.replace(self.python.specification, package_source=source)
        return {
            **resolved,
            "user_managed": False,
            "specification": specification.to_dict(),
            "key": specification.key(),
        }

    def _interpreter(self) -> str:
        path = self.python.interpreter_path
        if path == "python":
            return sys.executable
        found = shutil.which(os.path.expanduser(path))
        if found is None:
            raise UserErrorException(
                f"environment '{self.name}': there is no interpreter {path!r}; set python.interpreter_path to one"
            )
        return os.path.abspath(found)

    # -- registered in a workspace --------------------------------------------------------------------------------

    def register(self, workspace: Workspace) -> Environment:
        """Keep the definition in the workspace under the next version: "1", "2", …

        An identical definition returns the version that is there.
        """
        folder = workspace.paths.environments / self.name
        definition = self._definition()
        digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()
        with storage_errors("cannot register the environment", folder):
            folder.mkdir(parents=True, exist_ok=True)
            while True:
                versions = _versions(folder)
                for version in versions:
                    if read_json(str(folder / f"{version}.json"))["digest"] == digest:
                        return self._registered(str(version))
                new = max(versions, default=0) + 1
                if claim_json(str(folder / f"{new}.json"), {"digest": digest, **definition}):
                    return self._registered(str(new))

    def _registered(self, version: str) -> Environment:
        self.version = version
        return self

    def _definition(self) -> dict[str, Any]:
        specification = self.python.specification
        return {
            "user_managed_dependencies": self.python.user_managed_dependencies,
            "interpreter_path": self.python.interpreter_path,
            "specification": specification.to_dict() if specification else None,
            "environment_variables": dict(self.environment_variables),
            "package_source": self.package_source,
        }

    @staticmethod
    def get(workspace: Workspace, name: str, version: str | None = None, label: str | None = None) -> Environment:
        """A registered environment; the latest version unless one is named.

        Raises:
            UserErrorException: no such environment, with the names that there are.
        """
        if label is not None:
            raise UserErrorException(f"label={label!r}: labels of environments are not offered, name a version instead")
        folder = workspace.paths.environments / name
        versions = _versions(folder)
        wanted = max(versions, default=0) if version is None else int(version) if str(version).isdigit() else 0
        if wanted not in versions:
            known = ", ".join(sorted(Environment._names(workspace))) or "none"
            what = f"'{name}'" if version is None else f"'{name}' version {version}"
            raise UserErrorException(
                f"there is no environment {what} in the workspace '{workspace.name}'; it has: {known}. Register one "
                f"with Environment.from_conda_specification('{name}', FILE).register(workspace)"
            )
        return Environment._load(name, wanted, read_json(str(folder / f"{wanted}.json")))

    @staticmethod
    def _load(name: str, version: int, definition: dict[str, Any]) -> Environment:
        from toolkit.environments.spec import EnvironmentSpec

        environment = Environment(name)
        environment.version = str(version)
        environment.python.user_managed_dependencies = definition["user_managed_dependencies"]
        environment.python.interpreter_path = definition["interpreter_path"]
        if definition["specification"]:
            environment.python.specification = EnvironmentSpec.from_dict(definition["specification"])
        environment.environment_variables = dict(definition["environment_variables"])
        environment.package_source = definition["package_source"]
        return environment

    @staticmethod
    def list(workspace: Workspace) -> dict[str, Environment]:
        """The latest version of each registered environment, by name."""
        return {name: Environment.get(workspace, name) for name in Environment._names(workspace)}

    @staticmethod
    def _names(workspace: Workspace) -> builtins.list[str]:
        try:
            return sorted(entry.name for entry in workspace.paths.environments.iterdir())
        except FileNotFoundError:
            return []

    def __repr__(self) -> str:
        return f"Environment(name={self.name!r}, version={self.version!r})"


def _versions(folder: os.PathLike[str]) -> list[int]:
    try:
        return sorted(int(name[:-5]) for name in os.listdir(folder) if name[:-5].isdigit() and name.endswith(".json"))
    except FileNotFoundError:
        return []
