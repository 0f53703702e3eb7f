"""Registering environments and finding them again: in the workspace's folder, and where a team shares a tracking server
through that."""

from __future__ import annotations

import hashlib
import re
import sys
from typing import TYPE_CHECKING, Any

from toolkit.definitions import curated, definition, lock_file
from toolkit.definitions.lock_file import LockFile
from toolkit.definitions.registered import Registered, Version
from toolkit.errors import (
    ContainerEngineError,
    ContainerEngineUnreachable,
    ToolkitError,
    TrackingError,
    UserErrorException,
)

if TYPE_CHECKING:
    from toolkit.environment import Environment
    from toolkit.environments.request import ImageDefaults
    from toolkit.workspace import Workspace

_RESERVED = re.compile(r"AzureML|Microsoft")
_AUTOSAVE = "Autosave_"


def register(environment: Environment, workspace: Workspace) -> Environment:
    """See `Environment.register`."""
    if _is_curated(environment):
        return environment
    uri = workspace.configuration.tracking_uri
    if uri:
        return _register_shared(environment, workspace, uri)
    found = _local(workspace).add(environment.name, _definition(environment))
    return _as(environment, found.version, workspace, _local(workspace))


def register_locally(environment: Environment, workspace: Workspace) -> Environment:
    """See `Environment.register_locally`."""
    if _is_curated(environment):
        return environment
    asked = _definition(environment)
    uri, place = workspace.configuration.tracking_uri, _local(workspace)
    if uri:
        asked = _public(asked)
        digest = definition.digest(asked)
        shared = _shared(workspace, uri).find(environment.name, digest)
        if shared is not None:
            environment.version = shared.version
            return environment
        kept = place.put(Version(environment.name, f"{_AUTOSAVE}{digest[:12]}", asked, digest))
    else:
        kept = place.add(environment.name, asked)
    environment.version = kept.version
    _keep_given_locks(environment, place)
    return environment


def get(workspace: Workspace, name: str, version: str | None, label: str | None) -> Environment:
    """See `Environment.get`."""
    if label is not None:
        if version is not None:
            raise UserErrorException("only one of version and label can be given to Environment.get")
        if label.lower() != "latest":
            raise UserErrorException(
                f"label={label!r}: the only label is 'latest', which every name has; name a version instead, as in "
                "version='1'"
            )
    from toolkit.environment import Environment

    Environment(name)  # refuses what can be no name, and no path
    if curated.is_curated_name(name):
        return curated.get(name, version)
    wanted = None if version is None else str(version)
    uri = workspace.configuration.tracking_uri
    of_a_submit = wanted is not None and wanted.startswith(_AUTOSAVE)
    found = _get_shared(workspace, uri, name, wanted) if uri and not of_a_submit else None
    if found is not None:
        return found
    local = _local(workspace)
    versions = local.versions(name)
    chosen = (versions[-1] if versions else "") if wanted is None else wanted
    kept = local.read(name, chosen) if _is_version(chosen) else None
    if kept is None:
        raise _not_there(workspace, name, wanted, uri)
    return _loaded(kept, workspace, local)


def listing(workspace: Workspace) -> dict[str, Environment]:
    """See `Environment.list`."""
    local = _local(workspace)
    kept = [local.read(name, local.versions(name)[-1]) for name in local.names()]
    found = {one.name: _loaded(one, workspace, local) for one in kept if one is not None}
    uri = workspace.configuration.tracking_uri
    if uri:
        cache = _shared(workspace, uri)
        for name, versions in _shared_versions(uri, cache).items():
            latest = cache.read(name, versions[-1]) or _fetched(cache, uri, name, versions[-1])
            if latest is not None:
                found[name] = _loaded(latest, workspace, cache)
    return dict(sorted(found.items()))


def _loaded(version: Version, workspace: Workspace, kept: Registered) -> Environment:
    return _as(definition.load(version.name, version.version, version.definition), version.version, workspace, kept)


# -- the locks of a version -------------------------------------------------------------------------------------------


def solved_locks(environment: Environment, workspace: Workspace) -> tuple[LockFile, ...]:
    """The locks to publish with an environment: its own, else solved now, with and without GPU where that matters.

    For prefixes and, where a container engine answers here, for images; with a base image for images only.
    """
    if environment.locks or environment.uses_own_interpreter:
        return environment.locks
    if not environment.docker.has_base:
        return (*_solved(environment, workspace, lock_file.PREFIX), *_solved_for_images(environment, workspace))
    try:
        return _solved(environment, workspace, lock_file.IMAGE)
    except ContainerEngineError as error:
        print(
            f"toolkit: environment '{environment.name}' is registered without a lock, since that needs its base "
            f"image: {error}",
            file=sys.stderr,
        )
        return ()


def _solved(environment: Environment, workspace: Workspace, kind: str) -> tuple[LockFile, ...]:
    cpu = make_lock(environment, workspace, gpu=False, kind=kind)
    return (cpu,) if cpu.fits(True, kind) else (cpu, make_lock(environment, workspace, gpu=True, kind=kind))


def _solved_for_images(environment: Environment, workspace: Workspace) -> tuple[LockFile, ...]:
    """The locks for images on the workspace's own base; none, and said, where they cannot be made here."""
    try:
        return _solved(environment, workspace, lock_file.IMAGE)
    except ContainerEngineUnreachable:
        return ()  # nothing runs in containers here
    except ToolkitError as error:
        print(
            f"toolkit: environment '{environment.name}' is registered without a lock for containers, which each "
            f"machine then solves for itself: {error}",
            file=sys.stderr,
        )
        return ()


def make_lock(
    environment: Environment, workspace: Workspace | None, gpu: bool, kind: str, anew: bool = False
) -> LockFile:
    """The lock of an environment: its own, the one that it came to on this machine before, or a new one.

    Args:
        workspace: says where packages and base images come from; None for the defaults.
        anew: solve it in any case.

    Raises:
        UserErrorException: it has no packages.
        EnvironmentBuildError: no solution; with the solver's own words.
        ContainerEngineError: the base of its image cannot be had.
    """
    from toolkit.definitions import building
    from toolkit.environments import locking
    from toolkit.environments.request import ImageDefaults, Request
    from toolkit.images import engine
    from toolkit.targets import registry

    if anew and environment.locks:
        environment = environment.clone(environment.name)
        environment.hold_locks((), given=False)
    image, address = None, ""
    if kind == lock_file.IMAGE and workspace is None:
        image, address = ImageDefaults(), engine.address()
    elif kind == lock_file.IMAGE and workspace is not None:
        target = building.default_target(environment, workspace, image=True)
        image, address = registry.images_of(target, workspace.configuration, workspace.paths.configuration)
    source = workspace.configuration.package_source if workspace is not None else "auto"
    request = Request.from_dict({**environment.resolve(source, image, gpu), "engine": address})
    if request.specification is None:
        raise UserErrorException(
            f"environment '{environment.name}' has no packages to lock: it runs on an interpreter as it is"
        )
    lock = locking.lock_of(request, lambda line: print(line, file=sys.stderr), anew)
    return LockFile(request.specification, lock, gpu, kind)


def _as(environment: Environment, version: str, workspace: Workspace, kept: Registered) -> Environment:
    """An environment as its registered version: with the locks that are known of it."""
    environment.version = version
    if environment.locks_are_given:
        _keep_given_locks(environment, kept)
        return environment
    locks = kept.locks(environment.name, version)
    given = (kept.read(environment.name, version) or _NOTHING).definition.get("locks")
    if not locks and not environment.uses_own_interpreter:
        locks = _known_locks(environment, workspace)
        if locks:
            kept.put_locks(environment.name, version, locks)
    environment.hold_locks(locks, given=bool(given))
    return environment


def _keep_given_locks(environment: Environment, kept: Registered) -> None:
    """Keep the locks that were given beside the version that they are part of."""
    assert environment.version is not None
    if environment.locks_are_given and not kept.locks(environment.name, environment.version):
        kept.put_locks(environment.name, environment.version, environment.locks)


_NOTHING = Version("", "", {}, "")


def _known_locks(environment: Environment, workspace: Workspace) -> tuple[LockFile, ...]:
    """What the specification came to on this machine, where it was solved here."""
    from toolkit.definitions import resolve
    from toolkit.environments import kept_locks, key
    from toolkit.environments.request import ImageDefaults

    source = workspace.configuration.package_source
    specification = resolve.asked(environment, source)
    assert specification is not None
    image = resolve.image_request(environment, _image_defaults(workspace) or ImageDefaults())
    found = []
    for gpu in (False, True):
        packages = specification.key(gpu)
        prefix, of_image = kept_locks.find(packages), kept_locks.find(key.image_key(packages, image), image=True)
        if prefix is not None:
            found.append(LockFile(specification, prefix, gpu, lock_file.PREFIX))
        if of_image is not None:
            found.append(LockFile(specification, of_image, gpu, lock_file.IMAGE))
    return tuple(found)


def _image_defaults(workspace: Workspace) -> ImageDefaults | None:
    """What the workspace's first compute target that runs images says of them."""
    from toolkit.targets import registry

    targets = workspace.configuration.compute_targets
    found = (
        registry.images_of(name, workspace.configuration, workspace.paths.configuration)[0]
        for name, one in targets.items()
        if one["type"] == "docker"
    )
    return next(found, None)


# -- shared through the tracking server -------------------------------------------------------------------------------


def _register_shared(environment: Environment, workspace: Workspace, uri: str) -> Environment:
    from toolkit.agent import shared_environments

    cache = _shared(workspace, uri)
    asked = _definition(environment)
    public = _public(asked)
    if public != asked:
        print(
            f"toolkit: environment '{environment.name}': the credentials in its URLs are not published; whoever uses "
            "it needs them in ~/.netrc or in pip's configuration",
            file=sys.stderr,
        )
    digest = definition.digest(public)
    known = cache.find(environment.name, digest)
    if known is not None:
        return _as(environment, known.version, workspace, cache)
    locks = [lock.to_dict() for lock in solved_locks(environment, workspace)]
    document = shared_environments.publish(uri, environment.name, digest, public, locks)
    return _as(environment, _kept(cache, environment.name, document).version, workspace, cache)


def _public(asked: dict[str, Any]) -> dict[str, Any]:
    """A definition as others get it: without the credentials in the URLs of its channels, indexes and packages."""
    specification = asked["specification"]
    if specification is None:
        return asked
    return {**asked, "specification": {**lock_file.public(specification), "variables": specification["variables"]}}


def _get_shared(workspace: Workspace, uri: str, name: str, version: str | None) -> Environment | None:
    """The version of the tracking server, or the local copy of it while the server does not answer."""
    cache = _shared(workspace, uri)
    if version is None or cache.read(name, version) is None:
        try:
            found = _fetched(cache, uri, name, version)
        except TrackingError as error:
            found = _cached(cache, name, version)
            if found is None and not (version is None and _local(workspace).versions(name)):
                raise TrackingError(f"{error} There is no copy of environment '{name}' on this machine.") from error
            what = f"version {found.version} of environment '{name}'" if found else f"environment '{name}'"
            print(f"toolkit: {error} Taking {what} from this machine, perhaps not the latest", file=sys.stderr)
    else:
        found = cache.read(name, version)
    if found is None:
        return None
    return _loaded(found, workspace, cache)


def _fetched(cache: Registered, uri: str, name: str, version: str | None) -> Version | None:
    """A version of the server (the latest without one), kept on this machine from then on."""
    from toolkit.agent import shared_environments

    document = shared_environments.fetch(uri, name, version)
    return None if document is None else _kept(cache, name, document)


def _kept(cache: Registered, name: str, document: dict[str, Any]) -> Version:
    """A version that the server has, with its locks, as this machine keeps it."""
    found = Version(name, document["version"], document["definition"], document["digest"])
    if cache.read(name, found.version) is None:
        locks = tuple(LockFile.from_dict(lock) for lock in document["locks"])
        if locks:
            cache.put_locks(name, found.version, locks)
        cache.put(found)
    return found


def _shared_versions(uri: str, cache: Registered) -> dict[str, list[str]]:
    from toolkit.agent import shared_environments
    from toolkit.environment import NAME

    try:
        found = shared_environments.versions(uri)
        return {name: versions for name, versions in found.items() if NAME.fullmatch(name)}
    except TrackingError as error:
        print(f"toolkit: {error} Listing what this machine has of them", file=sys.stderr)
        return {name: cache.versions(name) for name in cache.names()}


def _cached(cache: Registered, name: str, version: str | None) -> Version | None:
    versions = cache.versions(name)
    wanted = version or (versions[-1] if versions else "")
    return cache.read(name, wanted) if _is_version(wanted) else None


# -- where they are kept ----------------------------------------------------------------------------------------------


def _local(workspace: Workspace) -> Registered:
    return Registered(workspace.paths.environments)


def _shared(workspace: Workspace, uri: str) -> Registered:
    """The copies of what a tracking server has."""
    return Registered(workspace.paths.environments / ".shared" / hashlib.sha256(uri.encode()).hexdigest()[:12])


def _definition(environment: Environment) -> dict[str, Any]:
    from toolkit.definitions import resolve

    if _RESERVED.match(environment.name):
        raise UserErrorException(
            f"environment '{environment.name}': names that begin with AzureML or Microsoft are reserved for curated "
            f"environments; give yours another name, as in environment.clone('my-{environment.name}')"
        )
    resolve.keep_credentials(environment)
    return definition.of(environment)


def _is_curated(environment: Environment) -> bool:
    """Whether it is a curated environment as it ships; a changed one is refused later, by its name."""
    if not curated.is_curated_name(environment.name):
        return False
    shipped = curated.find(environment.name)
    return shipped is not None and definition.of(environment) == definition.of(shipped)


def _is_version(version: str) -> bool:
    """Whether it can be a version, and is no path."""
    return re.fullmatch(rf"\d+|{_AUTOSAVE}[0-9a-f]+", version) is not None


def _not_there(workspace: Workspace, name: str, version: str | None, uri: str) -> UserErrorException:
    names = set(_local(workspace).names())
    if uri:
        names |= set(_shared_versions(uri, _shared(workspace, uri)))
    what = f"'{name}'" if version is None else f"'{name}' version {version}"
    return UserErrorException(
        f"there is no environment {what} in the workspace '{workspace.name}'; it has: "
        f"{', '.join(sorted(names)) or 'none'}. Register one with "
        f"Environment.from_conda_specification('{name}', FILE).register(workspace)"
    )
