"""`SparkSection`: what an environment of Azure ML SDK v1 said of Spark, which the toolkit does not start."""

from __future__ import annotations

from typing import Any


class SparkSection:
    """Kept as it is set, and used by nothing: a script that needs Spark has it in its packages or its image.

    Attributes:
        repositories: Spark repositories.
        packages: Spark packages.
        precache_packages: whether Azure put them into the image.
    """

    def __init__(self) -> None:
        self.repositories: list[str] = []
        self.packages: list[Any] = []
        self.precache_packages = True
