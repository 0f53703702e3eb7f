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
from toolkit.inscript.files import read_json

if TYPE_CHECKING:
    from rattler import RepoDataRecord

_BLOCK = 1 << 20


def link(
    packages: tuple[CondaPackage, ...], stage: Path, final: Path, log: Log, store: Store, subdir: str = ""
) -> None:  # fmt: skip
    """Link conda packages into `stage`, with `final` as the path that they know themselves under.

    Args:
        subdir: the platform they are for, as channels have it; "" for this machine's.

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
            platform=Subdir(subdir) if subdir else Subdir.current(), execute_link_scripts=False, show_progress=False,
        )  # fmt: skip

    check_names(packages, store)
    try:
        asyncio.run(run())
    except Exception as error:  # rattler's errors have no common base
        check_names(packages, store)
        raise_if_storage(str(error), stage)
        raise EnvironmentBuildError(
            f"the conda packages cannot be installed:\n{without_credentials(str(error))}\n"
            "If a download broke off, submit again: what is there already is not fetched twice."
        ) from error
    check_names(packages, store)


def check_names(packages: tuple[CondaPackage, ...], store: Store) -> None:
    """Look for files outside of the prefix in the packages that are unpacked.

    Raises:
        EnvironmentBuildError: there are some.
    """
    for package in packages:
        unpacked = store.conda_packages / package.file_name.removesuffix(".conda").removesuffix(".tar.bz2")
        document = read_json(str(unpacked / "info" / "paths.json"), {})
        for entry in document.get("paths", ()):
            checked_name(str(entry["_path"]), f"{package.name} {package.version}")


def checked_name(name: str, package: str) -> str:
    """A path that a package has for a file, if it stays inside the prefix.

    Raises:
        EnvironmentBuildError: it is absolute, or leads out of the prefix.
    """
    if name.startswith("/") or "\0" in name or ".." in name.split("/"):
        raise EnvironmentBuildError(
            f"the package {package} has a file named {name!r}, which lies outside of the environment: it is damaged or "
            "malicious and was not used. Take another version of it, or another channel or index."
        )
    return name


def link_scripts(stage: Path) -> list[str]:
    """Notices of the link scripts in a prefix, which were not run."""
    found = sorted([*stage.glob("bin/.*-post-link.sh"), *stage.glob("bin/.*-pre-link.sh")])
    return [notice_of(f"bin/{script.name}", script.name[1:].rpartition("-")[0].rpartition("-")[0]) for script in found]


def notice_of(script: str, package: str) -> str:
    """What the user should know of a package's link script."""
    return (
        f"not run: {script} of the conda package {package}, since a link script could do anything on this machine; if "
        "the package does not work without it, run what it does in environment.docker.base_dockerfile or in your script"
    )


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
