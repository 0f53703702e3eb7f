"""Curated environments of Azure ML, by name: a few definitions that ship with the toolkit stand for them.

Azure ML's own are images that nobody else has, and which vanish over time. What stands here is what a script that names
one needs: the same main packages, in versions of today.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.errors import UserErrorException

if TYPE_CHECKING:
    from toolkit.environment import Environment

# The first pattern that fits decides; each names the file beside this one.
FAMILIES = (
    (r"minimal|sdk|default", "minimal"),
    (r"tutorial", "tutorial"),
    (r"(acpt-)?(pytorch|deepspeed)|acpt", "pytorch"),
    (r"tensorflow|keras", "tensorflow"),
    (r"(ai-studio-)?(scikit-learn|sklearn)", "scikit-learn"),
    (r"lightgbm", "lightgbm"),
    (r"xgboost", "xgboost"),
)
_PREFIX = re.compile(r"AzureML-")


def is_curated_name(name: object) -> bool:
    """Whether a name is of the kind that Azure ML keeps for its own environments."""
    return isinstance(name, str) and _PREFIX.match(name) is not None


def find(name: str) -> Environment | None:
    """The environment that stands for a curated one, or None."""
    from toolkit.environment import Environment

    family = _family(name)
    if family is None:
        return None
    environment = Environment.from_conda_specification(name, _file(family))
    environment.version = "1"
    return environment


def get(name: str, version: str | None) -> Environment:
    """The environment that stands for a curated one; what was taken is said.

    Raises:
        UserErrorException: nothing stands for it.
    """
    environment = find(name)
    if environment is None:
        raise UserErrorException(
            f"there is no environment '{name}': curated environments are Azure ML's own images, and the toolkit has "
            f"definitions for AzureML-Minimal, -Tutorial, -sklearn-*, -pytorch-*, -ACPT-*, -tensorflow-*, -lightgbm-* "
            "and -xgboost-* only. Write what yours needs into an environment.yml, for "
            "Environment.from_conda_specification(NAME, FILE)"
        )
    specification = environment.python.specification
    assert specification is not None
    asked = f"'{name}'" + (f" version {version}" if version else "")
    print(
        f"toolkit: the curated environment {asked} is an image of Azure ML; taken instead: "
        f"{', '.join((*specification.conda, *specification.pip))}. For other versions: env = "
        f"Environment.get(workspace, '{name}').clone('my-environment'), then env.python.conda_dependencies"
        ".set_python_version('3.10') and .add_pip_package('NAME==VERSION')",
        file=sys.stderr,
    )
    return environment


def _family(name: str) -> str | None:
    rest = _PREFIX.sub("", name, count=1)
    return next((family for pattern, family in FAMILIES if re.match(pattern, rest, re.IGNORECASE)), None)


def _file(family: str) -> Path:
    return Path(__file__).with_name(f"{family}.yml")
