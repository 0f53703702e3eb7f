"""`CondaDependencies`: a conda specification that is put together in code."""

from __future__ import annotations

import copy
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import EnvironmentSpecificationError, UserErrorException, storage_errors
from toolkit.inscript.files import write_text

if TYPE_CHECKING:
    from toolkit.environments.spec import EnvironmentSpec

PYTHON_DEFAULT_VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
"""The minor version that the toolkit runs on: the Python of an environment that names none."""

_FILE_NAME = "conda_dependencies.yml"
_NAME_END = re.compile(r"[\s\[=<>~!;@]")


class CondaDependencies:
    """Conda channels, conda packages and pip packages, as a conda specification holds them.

    Args:
        conda_dependencies_file_path: an `environment.yml` to begin with; None begins with this Python alone.

    Raises:
        EnvironmentSpecificationError: the file is missing, broken, unsafe, or has keys that are not known.
    """

    def __init__(
        self,
        conda_dependencies_file_path: str | os.PathLike[str] | None = None,
        _underlying_structure: dict[str, Any] | None = None,
    ) -> None:
        self._constraints: tuple[str, ...] = ()
        self._parsed: tuple[str, EnvironmentSpec] | None = None
        self._file = Path("CondaDependencies")
        if conda_dependencies_file_path is not None:
            self._document = self._load(Path(conda_dependencies_file_path))
        elif _underlying_structure is not None:
            self._document = _underlying_structure
            self._specification()
        else:
            self._document = {
                "name": "project_environment",
                "channels": ["conda-forge"],
                "dependencies": [f"python={PYTHON_DEFAULT_VERSION}"],
            }

    def _load(self, file: Path) -> dict[str, Any]:
        import yaml

        from toolkit.environments.requirements_file import read_text
        from toolkit.environments.specification_file import parse_conda_specification

        text = read_text(file, "conda specification")
        parse_conda_specification(text, file)
        self._file = file
        document: dict[str, Any] = yaml.safe_load(text)
        document["dependencies"] = document["dependencies"] or []
        return document

    @staticmethod
    def create(
        pip_indexurl: str | None = None,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str | None = None,
        pin_sdk_version: bool = True,
    ) -> CondaDependencies:
        """Conda and pip packages on a Python.

        Args:
            pip_indexurl: the index of the pip packages, in place of the configured one.
            python_version: as in "3.11"; None is the minor version that the toolkit runs on.
            pin_sdk_version: kept for Azure ML SDK v1 scripts; nothing of its packages is installed.

        Raises:
            UserErrorException: a package that is not text.
        """
        made = CondaDependencies()
        if pip_indexurl:
            made.set_pip_index_url(pip_indexurl)
        if python_version is not None:
            made.set_python_version(python_version)
        for package in _texts(pip_packages, "pip_packages"):
            made.add_pip_package(package)
        for package in _texts(conda_packages, "conda_packages"):
            made.add_conda_package(package)
        return made

    @staticmethod
    def merge_requirements(requirements: Iterable[str]) -> list[str]:
        """The requirements with those of the same package put together: `a>=1` and `a<2` are `a>=1,<2`."""
        merged: dict[str, list[str]] = {}
        for requirement in requirements:
            name = _name(requirement)
            merged.setdefault(name, []).append(requirement[len(name) :].strip())
        return [f"{name}{','.join(part for part in parts if part)}" for name, parts in merged.items()]

    # -- what is in it ------------------------------------------------------------------------------------------------

    @property
    def conda_channels(self) -> Iterator[str]:
        """The channels, the first has priority."""
        return iter(list(self._document.get("channels") or []))

    @property
    def conda_packages(self) -> Iterator[str]:
        """The conda entries, Python among them."""
        return iter([entry for entry in self._dependencies if isinstance(entry, str)])

    @property
    def pip_packages(self) -> Iterator[str]:
        """The pip requirements."""
        return iter([line for line in self._pip or [] if not line.startswith("-")])

    @property
    def pip_options(self) -> Iterator[str]:
        """The option lines of the pip section, as in "--extra-index-url URL"."""
        return iter([line for line in self._pip or [] if line.startswith("-")])

    @property
    def _dependencies(self) -> list[Any]:
        dependencies: list[Any] = self._document.setdefault("dependencies", [])
        return dependencies

    @property
    def _pip(self) -> list[str] | None:
        """The pip section itself, or None where there is none."""
        for entry in self._dependencies:
            if isinstance(entry, dict) and "pip" in entry:
                entry["pip"] = entry["pip"] or []
                section: list[str] = entry["pip"]
                return section
        return None

    def _pip_section(self) -> list[str]:
        """The pip section, made where there is none."""
        if self._pip is None:
            self._dependencies.append({"pip": []})
        section = self._pip
        assert section is not None
        return section

    # -- changing it --------------------------------------------------------------------------------------------------

    def add_channel(self, channel: str) -> None:
        """Add a channel after those that are there."""
        channels = self._document.get("channels") or []
        if _text(channel, "a conda channel") not in channels:
            self._document["channels"] = [*channels, channel]

    def remove_channel(self, channel: str) -> None:
        """Take a channel out; one that is not there is no error."""
        self._document["channels"] = [one for one in self.conda_channels if one != channel]

    def add_conda_package(self, conda_package: str) -> None:
        """Add a conda entry, as in "numpy=1.26"; it takes the place of what was asked of the same package.

        Raises:
            EnvironmentSpecificationError: it is not an entry that conda knows.
        """
        entry = _text(conda_package, "a conda package")
        name = _conda_name(entry)
        for index, present in enumerate(self._dependencies):
            if isinstance(present, str) and _conda_name(present) == name:
                self._dependencies[index] = entry
                return
        strings = [index for index, present in enumerate(self._dependencies) if isinstance(present, str)]
        self._dependencies.insert(strings[-1] + 1 if strings else 0, entry)

    def remove_conda_package(self, conda_package: str) -> None:
        """Take a conda package out; one that is not there is no error.

        Raises:
            UserErrorException: the package is Python.
        """
        name = _conda_name(_text(conda_package, "a conda package"))
        if name == "python":
            raise UserErrorException(
                "python cannot be taken out of CondaDependencies: set_python_version changes it, and "
                "environment.python.user_managed_dependencies = True uses a Python that is there"
            )
        self._document["dependencies"] = [
            entry for entry in self._dependencies if not isinstance(entry, str) or _conda_name(entry) != name
        ]

    def get_python_version(self) -> str | None:
        """The version that is asked for, as in "3.11"; None without one."""
        for entry in self.conda_packages:
            if _conda_name(entry) == "python":
                return re.sub(r"^[\s=]+", "", entry.strip()[len("python") :]).strip() or None
        return None

    def set_python_version(self, version: str) -> None:
        """Ask for a version of Python, as in "3.11".

        Raises:
            EnvironmentSpecificationError: it is not a version.
        """
        text = str(version).strip()
        if isinstance(version, float) or not re.match(r"[\d<>=!~]", text):
            raise EnvironmentSpecificationError(
                f"{version!r} is not a version of Python: write it as text, as in '3.11' (a number would lose the "
                "last 0 of 3.10)"
            )
        self.add_conda_package(f"python{text}" if text[0] in "<>=!~" else f"python={text}")

    def add_pip_package(self, pip_package: str) -> None:
        """Add a pip requirement to the end; it takes the place of what was asked of the same package.

        Raises:
            UserErrorException: an option, or not a text.
        """
        line = _text(pip_package, "a pip package")
        if line.startswith("-"):
            raise UserErrorException(f"'{line}' is an option and no pip package: use set_pip_option")
        self.remove_pip_package(line)
        self._pip_section().append(line)

    def remove_pip_package(self, pip_package: str) -> None:
        """Take a pip package out, whatever version was asked for; one that is not there is no error."""
        line = _text(pip_package, "a pip package")
        if line.startswith("-"):
            raise UserErrorException(f"'{line}' is an option and no pip package: use remove_pip_option")
        section = self._pip
        if section is not None:
            name = _pip_name(line)
            section[:] = [one for one in section if one.startswith("-") or _pip_name(one) != name]

    def set_pip_option(self, pip_option: str) -> None:
        """Set an option of the pip section, as in "--extra-index-url URL", in place of the same option before."""
        option = _option(pip_option)
        section = self._pip_section()
        name = _option_name(option)
        for index, line in enumerate(section):
            if line.startswith("-") and _option_name(line) == name:
                section[index] = option
                return
        section.append(option)

    def remove_pip_option(self, pip_option: str) -> None:
        """Take an option out of the pip section, whatever its value; one that is not there is no error."""
        name = _option_name(_option(pip_option))
        section = self._pip
        if section is not None:
            section[:] = [line for line in section if not line.startswith("-") or _option_name(line) != name]

    def set_pip_index_url(self, index_url: str) -> None:
        """Set the index of the pip packages: a URL, or the whole option as in "--index-url URL"."""
        text = _text(index_url, "the URL of an index")
        self.set_pip_option(text if text.startswith("-") else f"--index-url {text}")

    def set_pip_requirements(self, pip_requirements: Iterable[str]) -> None:
        """Put these lines, packages and options, in place of the whole pip section."""
        self._pip_section()[:] = _texts(pip_requirements, "pip_requirements")

    def add_tensorflow_pip_package(self, core_type: str = "cpu", version: str | None = None) -> None:
        """Add TensorFlow from PyPI.

        Args:
            core_type: "cpu" or "gpu". The package serves both since TensorFlow 2.1; for "gpu" its CUDA libraries are
                added as well.
            version: as in "2.15.0"; None lets pip choose.
        """
        _check_core_type(core_type)
        extra = "[and-cuda]" if core_type == "gpu" else ""
        for old in ("tensorflow", "tensorflow-gpu", "tensorflow-cpu"):
            self.remove_pip_package(old)
        self.add_pip_package(f"tensorflow{extra}" + (f"=={version}" if version else ""))

    def add_tensorflow_conda_package(self, core_type: str = "cpu", version: str | None = None) -> None:
        """Add TensorFlow from the conda channels, which choose the build for a GPU by themselves.

        Args:
            core_type: "cpu" or "gpu".
            version: as in "2.15.0"; None lets conda choose.
        """
        _check_core_type(core_type)
        self.remove_conda_package("tensorflow-gpu")
        self.add_conda_package("tensorflow" + (f"={version}" if version else ""))

    def add_cntk_package(self, core_type: str = "cpu") -> None:
        """Refused: CNTK has no package for a Python that is still maintained.

        Raises:
            UserErrorException: always.
        """
        raise UserErrorException(
            "add_cntk_package: Microsoft ended CNTK in 2019, and its last packages are for Python 3.6; name another "
            "framework, or a wheel of your own with add_pip_package"
        )

    # -- written down -------------------------------------------------------------------------------------------------

    def as_dict(self) -> dict[str, Any]:
        """The specification as a mapping, a copy."""
        return copy.deepcopy(self._document)

    def serialize_to_string(self) -> str:
        """The specification as YAML."""
        import yaml

        return yaml.safe_dump(self._document, sort_keys=False, default_flow_style=False, allow_unicode=True)

    def save(self, path: str | os.PathLike[str] | None = None) -> str:
        """Write the specification to a file (default `conda_dependencies.yml` here), and return its path.

        Raises:
            UserErrorException: the path is a folder, or its folder is not there.
            StorageError: the file cannot be written.
        """
        file = Path(path or _FILE_NAME)
        if file.is_dir():
            raise UserErrorException(
                f"'{file}' is a folder: name the file as well, as in {file / _FILE_NAME}, to save CondaDependencies"
            )
        if not file.absolute().parent.is_dir():
            raise UserErrorException(f"cannot save CondaDependencies: there is no folder {file.absolute().parent}")
        with storage_errors("cannot write CondaDependencies", file):
            write_text(str(file), self.serialize_to_string())
        return file.as_posix()

    def save_to_file(
        self, base_directory: str | os.PathLike[str], conda_file_path: str | os.PathLike[str] | None = None
    ) -> str:
        """Write the specification below `base_directory`, and return the path in there."""
        inner = Path(conda_file_path or _FILE_NAME)
        self.save(Path(base_directory) / inner)
        return inner.as_posix()

    # -- as environments take it --------------------------------------------------------------------------------------

    def _specification(self) -> EnvironmentSpec:
        """The specification, through the parser that files go through.

        Raises:
            EnvironmentSpecificationError: an entry is not one that conda or pip knows.
        """
        from dataclasses import replace

        from toolkit.environments.specification_file import parse_conda_specification

        text = self.serialize_to_string()
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, parse_conda_specification(text, self._file))
        parsed = self._parsed[1]
        return replace(parsed, constraints=(*parsed.constraints, *self._constraints)) if self._constraints else parsed

    @classmethod
    def _of(cls, specification: EnvironmentSpec) -> CondaDependencies:
        """A specification, to be changed."""
        made = cls()
        document: dict[str, Any] = {"name": "project_environment"}
        if specification.channels:
            document["channels"] = list(specification.channels)
        if specification.channel_priority:
            document["channel_priority"] = specification.channel_priority
        document["dependencies"] = [*specification.conda]
        if specification.pip:
            document["dependencies"].append({"pip": [*specification.pip]})
        if specification.variables:
            document["variables"] = dict(specification.variables)
        made._document = document
        made._constraints = specification.constraints
        return made

    def __repr__(self) -> str:
        return f"CondaDependencies({self._document!r})"


def _text(value: object, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UserErrorException(f"{what} is {value!r}, where a text belongs, as in 'numpy'")
    return value.strip()


def _texts(values: Iterable[str] | None, what: str) -> list[str]:
    if isinstance(values, (str, bytes)) or not isinstance(values or [], Iterable):
        raise UserErrorException(f"{what} is {values!r}, where a list belongs, as in ['numpy', 'pandas==2.2.2']")
    return [_text(value, f"an entry of {what}") for value in values or []]


def _name(requirement: str) -> str:
    """What a requirement begins with, up to its version, extras or marker."""
    return _NAME_END.split(requirement.strip(), maxsplit=1)[0]


def _pip_name(line: str) -> str:
    """The package of a pip line, as PyPI compares names; of a wheel, what its file name says."""
    if "://" in line.partition("@")[0] or line.endswith(".whl"):
        line = line.rpartition("/")[2].partition("-")[0]
    return re.sub(r"[-_.]+", "-", _name(line)).lower()


def _conda_name(entry: str) -> str:
    from toolkit.environments import conda_requirement

    try:
        return conda_requirement.parse(entry).name
    except ValueError as error:
        raise EnvironmentSpecificationError(f"CondaDependencies: {error}") from None


def _option(option: str) -> str:
    text = _text(option, "an option of pip")
    if not text.startswith("-"):
        raise UserErrorException(f"'{text}' is no option of pip: one begins with '-', as in '--extra-index-url URL'")
    return text


def _option_name(line: str) -> str:
    name = re.split(r"[\s=]", line, maxsplit=1)[0]
    return {"-i": "--index-url", "-f": "--find-links"}.get(name, name)


def _check_core_type(core_type: str) -> None:
    if core_type not in ("cpu", "gpu"):
        raise UserErrorException(f"core_type is {core_type!r}: it can be 'cpu' or 'gpu'")
