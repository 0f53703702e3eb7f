"""Solving the conda part against channels with py-rattler."""

from __future__ import annotations

import asyncio
import os
import re
from typing import TYPE_CHECKING, Any

from toolkit.environments import channels, conda_requirement, substitutes
from toolkit.environments.lock import CondaPackage
from toolkit.environments.pip_config import without_credentials
from toolkit.environments.process import Log
from toolkit.environments.spec import EnvironmentSpec
from toolkit.environments.store import Store
from toolkit.environments.uv import raise_if_storage
from toolkit.errors import EnvironmentBuildError
from toolkit.images.platforms import Platform

if TYPE_CHECKING:
    from rattler import GenericVirtualPackage, RepoDataRecord

_DEFAULT_CUDA = "12.4"
_PYTHON_DEPENDENCY = re.compile(r"python(\s|$|[<>=!])")


def solve(
    spec: EnvironmentSpec, gpu: bool, log: Log, store: Store, platform: Platform | None = None
) -> tuple[CondaPackage, ...]:  # fmt: skip
    """The conda packages of a specification, by name; Python is always one of them.

    Args:
        platform: where the packages will run; None for this machine.

    Raises:
        EnvironmentBuildError: with the solver's own words.
        StorageError: the disk is full.
    """
    from rattler import ChannelPriority

    names = {conda_requirement.parse(entry).name for entry in spec.conda}
    entries = [*spec.conda, *([] if "python" in names else ["python"])]
    virtual = _virtual_packages(gpu, log, platform)
    log("solving for " + ", ".join(f"{v.name.normalized}={v.version}" for v in virtual))
    loose = spec.channel_priority == "disabled"
    try:
        records = _solve(
            spec, entries, virtual, ChannelPriority.Disabled if loose else ChannelPriority.Strict, store, platform
        )
    except Exception as error:  # rattler's errors have no common base
        raise_if_storage(str(error), store.root)
        if loose or spec.channel_priority == "strict" or len(channels.names(spec.channels)) == 1:
            raise _refusal(error) from error
        log("no solution with each package from its first channel only: trying all channels for all packages")
        try:
            records = _solve(spec, entries, virtual, ChannelPriority.Disabled, store, platform)
        except Exception as second:
            raise _refusal(second) from second
    return tuple(sorted((_package(record) for record in records), key=lambda package: package.name))


def python_packages(packages: tuple[CondaPackage, ...]) -> tuple[tuple[str, str], ...]:
    """PyPI name and version of the Python packages among conda packages."""
    names = substitutes.pypi_names()
    found = {
        names.get(one.name) or one.name: one.version
        for one in packages
        if one.noarch == "python" or any(_PYTHON_DEPENDENCY.match(dependency) for dependency in one.depends)
    }
    return tuple(sorted(found.items()))


def _solve(
    spec: EnvironmentSpec,
    entries: list[str],
    virtual: list[GenericVirtualPackage],
    priority: Any,
    store: Store,
    platform: Platform | None,
) -> list[RepoDataRecord]:
    from rattler import Channel, Gateway, SourceConfig, Subdir, solve

    store.channel_indexes.mkdir(parents=True, exist_ok=True)
    # Sharded indexes fail on revalidation from a plain web server.
    gateway = Gateway(cache_dir=store.channel_indexes, default_config=SourceConfig(sharded_enabled=False))

    async def run() -> list[RepoDataRecord]:
        return list(await solve(
            sources=[Channel(name) for name in channels.names(spec.channels)], specs=entries, gateway=gateway,
            platforms=[Subdir(platform.subdir) if platform else Subdir.current(), "noarch"],
            virtual_packages=virtual, channel_priority=priority,
        ))  # fmt: skip

    return asyncio.run(run())


def _virtual_packages(gpu: bool, log: Log, platform: Platform | None) -> list[GenericVirtualPackage]:
    """What conda packages may count on: libc, kernel, processor, and CUDA only for GPU environments.

    In a container kernel and processor are this machine's, and libc is the base image's.
    """
    from rattler import VirtualPackage

    found = [package.into_generic() for package in VirtualPackage.detect()]
    if platform:
        found = [one for one in found if one.name.normalized != "__glibc"]
        found.append(_virtual("__glibc", platform.libc))
    has_cuda = any(package.name.normalized == "__cuda" for package in found)
    if not gpu:
        return [package for package in found if package.name.normalized != "__cuda"]
    if not has_cuda:
        version = os.environ.get("CONDA_OVERRIDE_CUDA") or _DEFAULT_CUDA
        log(f"no GPU driver on this machine: solving for CUDA {version} (CONDA_OVERRIDE_CUDA sets another)")
        found.append(_virtual("__cuda", version))
    return found


def _virtual(name: str, version: str) -> GenericVirtualPackage:
    import rattler
    from rattler import GenericVirtualPackage, PackageName, Version

    build_string = getattr(rattler, "BuildString", str)  # plain text until py-rattler 0.27 or so
    return GenericVirtualPackage(PackageName(name), Version(version), build_string("0"))


def _refusal(error: Exception) -> EnvironmentBuildError:
    return EnvironmentBuildError(
        f"the conda packages cannot be solved; the solver says:\n{without_credentials(str(error)).strip()}\n"
        "Change the pins that contradict each other, add the channel that has what is missing, or take the packages "
        "from PyPI with package_source='pypi'."
    )


def _package(record: RepoDataRecord) -> CondaPackage:
    noarch = record.noarch
    kind = "python" if noarch.python else "generic" if noarch.generic else ""
    return CondaPackage(
        name=record.name.normalized,
        version=str(record.version),
        build=str(record.build),
        build_number=record.build_number,
        subdir=str(record.subdir),
        noarch=kind,
        depends=tuple(str(one) for one in record.depends),
        constrains=tuple(str(one) for one in record.constrains),
        file_name=str(record.file_name),
        url=str(record.url),
        channel=str(record.channel or ""),
        sha256=record.sha256.hex() if record.sha256 else "",
        md5=record.md5.hex() if record.md5 else "",
        size=record.size or 0,
        python_site_packages_path=record.python_site_packages_path or "",
    )
