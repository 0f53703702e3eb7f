"""`PythonSection`: how an environment gets its Python and its packages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    from toolkit.conda_dependencies import CondaDependencies
    from toolkit.environments.spec import EnvironmentSpec


class PythonSection:
    """How an environment gets its Python.

    What is asked for is held once: as the `EnvironmentSpec` that a file came to, or, from when somebody looks at
    `conda_dependencies`, as the `CondaDependencies` that can be changed.

    Attributes:
        user_managed_dependencies: True runs on `interpreter_path` as it is; nothing is built.
        interpreter_path: of a user-managed environment; "python" is the interpreter that submits, or in an image the
            one on its PATH.
    """

    def __init__(self) -> None:
        self.user_managed_dependencies = False
        self.interpreter_path = "python"
        self._asked: EnvironmentSpec | CondaDependencies | None = None
        self._untouched = ""
        self._file: str | None = None

    @property
    def specification(self) -> EnvironmentSpec | None:
        """The packages that are asked for, or None.

        Raises:
            EnvironmentSpecificationError: an entry of `conda_dependencies` is not one that conda or pip knows.
        """
        from toolkit.environments.spec import EnvironmentSpec

        if self._asked is None or isinstance(self._asked, EnvironmentSpec):
            return self._asked
        if self._untouched and self._asked.serialize_to_string() == self._untouched:
            return None
        return self._asked._specification()

    @specification.setter
    def specification(self, specification: EnvironmentSpec | None) -> None:
        self._asked, self._untouched, self._file = specification, "", None

    @property
    def conda_dependencies(self) -> CondaDependencies:
        """What is asked for, to be changed. Where nothing is yet, this Python without packages: it counts from the
        first change on."""
        from toolkit.conda_dependencies import CondaDependencies

        if self._asked is None:
            self._asked = CondaDependencies()
            self._untouched = self._asked.serialize_to_string()
        elif not isinstance(self._asked, CondaDependencies):
            self._asked = CondaDependencies._of(self._asked)
        return self._asked

    @conda_dependencies.setter
    def conda_dependencies(self, dependencies: CondaDependencies | None) -> None:
        from toolkit.conda_dependencies import CondaDependencies

        if dependencies is not None and not isinstance(dependencies, CondaDependencies):
            raise UserErrorException(
                f"python.conda_dependencies is {dependencies!r}: it takes a CondaDependencies, as in "
                "CondaDependencies.create(pip_packages=['numpy']) or CondaDependencies('environment.yml')"
            )
        self._asked, self._untouched, self._file = dependencies, "", None

    @property
    def conda_dependencies_file(self) -> str | None:
        """The conda specification that was set here; setting it reads the file."""
        return self._file

    @conda_dependencies_file.setter
    def conda_dependencies_file(self, file: str | os.PathLike[str] | None) -> None:
        from toolkit.environments.specification_file import load_conda_specification

        if file:
            self.specification = load_conda_specification(file)
            self._file = os.fspath(file)
        else:
            self.specification = None

    @property
    def variables(self) -> dict[str, str]:
        """The variables that `conda_dependencies` sets for the runs."""
        from toolkit.environments.spec import EnvironmentSpec

        specification = self.specification
        held = specification is not None and not isinstance(self._asked, EnvironmentSpec)
        return specification.environment_variables if held and specification is not None else {}
