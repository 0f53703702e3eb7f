"""Fetching, verifying and linking conda packages with py-rattler."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.environments.lock import CondaPackage
from toolkit.environments.pip_config import without_credentials
from toolkit.environments.process import Log
from toolkit.environments.requirements_file import local_path
from toolkit.environments.store import Store
from toolkit.environments.uv import raise_if_storage
from toolkit.errors import EnvironmentBuildError

if TYPE_CHECKING:
    from rattler import RepoDataRecord

_BLOCK = 1 << 20


def link(packages: tuple[CondaPackage, ...], stage: Path, final: Path, log: Log, store: Store) -> None:
    """Link conda packages into `stage`, with `final` as the path that they know themselves under.

    Raises:
        EnvironmentBuildError: a package cannot be fetched, or is not what the lock says.
        StorageError: the disk is full.
    """
    from rattler import Subdir, install

    for package in packages:
        if package.url.startswith("file://"):  # rattler checks the hashes of downloads only
            verify(package)
    store.conda_packages.mkdir(parents=True, exist_ok=True)
    log(f"linking {len(packages)} conda packages")
    records = [_record(package) for package in packages]

    async def run() -> None:
        await install(
            records, target_prefix=stage, alternative_target_prefix=final, cache_dir=store.conda_packages,
            platform=Subdir.current(), execute_link_scripts=False, show_progress=False,
        )  # fmt: skip

    try:
        asyncio.run(run())
    except Exception as error:  # rattler's errors have no common base
        raise_if_storage(str(error), stage)
        raise EnvironmentBuildError(
            f"the conda packages cannot be installed:\n{without_credentials(str(error))}\n"
            "If a download broke off, submit again: what is there already is not fetched twice."
        ) from error
    for script in sorted(stage.glob("bin/.*-post-link.sh")):
        log(f"not run: {script.name}; link scripts of packages could do anything on this machine")


def verify(package: CondaPackage) -> None:
    """Check the file of a package in a folder channel against the lock.

    Raises:
        EnvironmentBuildError: the file is missing or is not the one that the lock names.
    """
    path = local_path(package.url)
    wanted, name = (package.sha256, "sha256") if package.sha256 else (package.md5, "md5")
    digest = hashlib.new(name, usedforsecurity=False)
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError as error:
        raise EnvironmentBuildError(f"the conda package {path} cannot be read: {error.strerror}") from error
    if digest.hexdigest() != wanted:
        raise EnvironmentBuildError(
            f"the conda package {path} is not the one that its channel lists: its {name} is {digest.hexdigest()}, "
            f"listed is {wanted or 'none'}. Fetch the file again, or index the channel anew if the change was meant."
        )


def _record(package: CondaPackage) -> RepoDataRecord:
    import rattler
    from rattler import PackageRecord, RepoDataRecord

    build_string = getattr(rattler, "BuildString", str)  # plain text until py-rattler 0.27 or so
    record = PackageRecord(
        name=package.name, version=package.version, build=build_string(package.build),
        build_number=package.build_number, subdir=package.subdir, noarch=package.noarch or None,
        depends=list(package.depends), constrains=list(package.constrains), size=package.size or None,
        sha256=bytes.fromhex(package.sha256) if package.sha256 else None,
        md5=bytes.fromhex(package.md5) if package.md5 else None,
        python_site_packages_path=package.python_site_packages_path or None,
    )  # fmt: skip
    return RepoDataRecord(record, package.file_name, package.url, package.channel)
