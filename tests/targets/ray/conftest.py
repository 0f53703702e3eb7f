"""One Ray cluster for the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import needs
from tests.rig import ray_cluster
from tests.rig.ray_cluster import RayCluster


@pytest.fixture(scope="session")
def ray() -> Iterator[RayCluster]:
    """A cluster of one node, on which four runs go at once."""
    try:
        ray_cluster.executable()
    except RuntimeError as error:
        needs(None, f"Ray ({error})")
    with ray_cluster.serve(cpus=4) as cluster:
        yield cluster
