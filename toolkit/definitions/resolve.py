"""From an `Environment` to what a run's definition says of it: plain data. On the way of every submit."""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

from toolkit.environments.request import ImageDefaults, ImageRequest, Request
from toolkit.environments.spec import EnvironmentSpec, is_variable
from toolkit.errors import UserErrorException
from toolkit.images import credentials

if TYPE_CHECKING:
    from toolkit.container_registry import ContainerRegistry
    from toolkit.definitions.lock_file import LockFile
    from toolkit.environment import Environment


def resolve(
    environment: Environment, package_source: str, image: ImageDefaults | None, gpu: bool, elsewhere: str = ""
) -> dict[str, Any]:
    """See `Environment.resolve`."""
    request = image_request(environment, image) if image is not None else None
    specification = asked(environment, package_source, request)
    document = {
        "name": environment.name,
        "variables": {**environment.python.variables, **_variables(environment)},
        "user_managed": specification is None,
        "docker": _container_options(environment),
    }
    if specification is None:
        named = environment.python.interpreter_path
        if elsewhere:
            interpreter = elsewhere if named == "python" else named
        else:
            interpreter = _interpreter(environment) if request is None else named
        key = _image_key("", request) if request is not None else ""
        found = Request(key, gpu=gpu, image=request)
        document["interpreter"] = interpreter
    else:
        found = _request(environment, specification, gpu, request)
    fields = found.to_dict()
    del fields["engine"]
    return {**document, **fields}


def asked(environment: Environment, package_source: str, image: ImageRequest | None = None) -> EnvironmentSpec | None:
    """The packages that a run gets, with where they come from; None for an interpreter as it is.

    A plain environment is the interpreter that submits; an image has none, so it gets the same minor version.
    """
    if environment.python.user_managed_dependencies:
        return None
    specification = environment.python.specification
    if specification is None and (image is None or environment.docker.has_base):
        return None
    if specification is None:
        specification = EnvironmentSpec(conda=(f"python={sys.version_info[0]}.{sys.version_info[1]}",))
    return dataclasses.replace(specification, package_source=environment.package_source or package_source)


def image_request(environment: Environment, defaults: ImageDefaults) -> ImageRequest:
    """What is asked of the image. Credentials of its registry go to the toolkit's home, and nowhere else."""
    docker = environment.docker
    registry = keep_credentials(environment)
    if docker.base_dockerfile is not None:
        return ImageRequest("", docker.base_dockerfile, registry, defaults.image_registry)
    base = docker.base_image or defaults.base_image
    if registry and docker.base_image and not base.startswith(f"{registry}/"):
        base = f"{registry}/{base.lstrip('/')}"  # as Azure ML SDK v1 had it: the registry beside the bare name
    return ImageRequest(base, "", registry, defaults.image_registry)


def keep_credentials(environment: Environment) -> str:
    """The address of the base image's registry ("" for none), its credentials kept in the toolkit's home.

    Raises:
        UserErrorException: credentials without an address, or an address that is none.
    """
    registry: ContainerRegistry = environment.docker.base_image_registry
    if not registry.address:
        if registry.username or registry.password:
            raise UserErrorException(
                f"environment '{environment.name}': docker.base_image_registry has credentials and no address; set "
                "its address, as in 'myregistry.azurecr.io'"
            )
        return ""
    address = credentials.host(registry.address)
    if registry.username or registry.password:
        wanted = {"address": address, "username": registry.username or "", "password": registry.password or ""}
        if credentials.read(address) != wanted:
            credentials.save(address, wanted["username"], wanted["password"])
    return address


def usable_lock(environment: Environment, specification: EnvironmentSpec, gpu: bool, kind: str) -> LockFile | None:
    """The lock of the environment that such a run uses as it is, or None where it has to be solved."""
    from toolkit.definitions import lock_file

    for held in environment.locks:
        if held.is_of(specification) and held.fits(gpu, kind):
            here = held.lock if kind == lock_file.IMAGE else lock_file.for_this_machine(held.lock)
            if here is not None:
                return dataclasses.replace(held, lock=here)
    return None


def notices(environment: Environment, image: ImageDefaults | None, gpu: bool = False) -> list[str]:
    """What of the environment such a run does not follow, a line each."""
    found = []
    docker = environment.docker
    if image is None and docker.has_base:
        found.append(
            f"environment '{environment.name}' has a base image, which this compute target does not use: it runs no "
            'images; submit to compute_target="docker" for that'
        )
    specification = asked(environment, "auto", image_request(environment, image) if image is not None else None)
    kind = "prefix" if image is None else "image"
    given = environment.locks_are_given and specification is not None
    if given and specification and usable_lock(environment, specification, gpu, kind) is None:
        why = _why_not(environment, specification, gpu, kind)
        found.append(f"environment '{environment.name}': its lock is not used, since {why}; it is solved anew")
    return found


def _why_not(environment: Environment, specification: EnvironmentSpec, gpu: bool, kind: str) -> str:
    """Why none of the locks can be used."""
    of_it = [held for held in environment.locks if held.is_of(specification)]
    fitting = [held for held in of_it if held.fits(gpu, kind)]
    if fitting:
        return f"this machine has no Python {fitting[0].lock.python.version}"
    if of_it:
        return f"none is for {'an image' if kind == 'image' else 'a prefix'} {'with' if gpu else 'without'} a GPU here"
    return "its packages were changed after that"


def _request(environment: Environment, spec: EnvironmentSpec, gpu: bool, image: ImageRequest | None) -> Request:
    from toolkit.environments import key

    def of(packages: str) -> str:
        return packages if image is None else key.image_key(packages, image)

    plain, kind = of(spec.key(gpu)), "prefix" if image is None else "image"
    if not environment.locks or _is_kept(environment, spec, gpu, kind, plain):
        return Request(plain, spec, None, gpu, image)
    held = usable_lock(environment, spec, gpu, kind)
    if held is None:
        return Request(plain, spec, None, gpu, image)
    return Request(of(key.lock_key(held.lock.hash)), spec, held.lock, gpu, image)


def _is_kept(environment: Environment, spec: EnvironmentSpec, gpu: bool, kind: str, plain: str) -> bool:
    """Whether the specification came to the environment's lock on this machine: then it needs no key of its own."""
    from toolkit.environments import kept_locks

    first = next((held for held in environment.locks if held.is_of(spec) and held.fits(gpu, kind)), None)
    kept = kept_locks.find(plain, kind == "image") if first is not None else None
    return first is not None and kept is not None and dataclasses.replace(first, lock=kept).hash == first.hash


def _image_key(packages: str, image: ImageRequest) -> str:
    from toolkit.environments.key import image_key

    return image_key(packages, image)


def _variables(environment: Environment) -> dict[str, str]:
    variables = {str(name): str(value) for name, value in environment.environment_variables.items()}
    for name, value in variables.items():
        if not is_variable(name, value):
            raise UserErrorException(
                f"environment '{environment.name}': {name!r} cannot be a variable in environment_variables: a name has "
                "no '=' in it, and is not empty"
            )
    return variables


def _container_options(environment: Environment) -> dict[str, Any]:
    section = environment.docker.to_dict()
    return {name: section[name] for name in ("enabled", "arguments", "shm_size", "shared_volumes")}


def _interpreter(environment: Environment) -> str:
    path = environment.python.interpreter_path
    if path == "python":
        return sys.executable
    found = shutil.which(os.path.expanduser(path))
    if found is None:
        raise UserErrorException(
            f"environment '{environment.name}': there is no interpreter {path!r}; set python.interpreter_path to one"
        )
    return os.path.abspath(found)
