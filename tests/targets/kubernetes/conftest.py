"""A stand-in for a cluster, one for the session; its pods are containers of the local engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.rig import kubernetes_api
from tests.rig.kubernetes_api import Cluster
from tests.rig.registry import Registry
from toolkit import Environment, Workspace

TARGETS = """\
image_registry: {registry}/team
compute_targets:
  local: {{type: local, slots: 1}}
  cluster:
    type: kubernetes
    config: {config}
    max_concurrent_runs: 1
    memory: 2g
    shm_size: 64m
    volumes: {{scratch: /data}}
    folder: /data/runs
  wide: {{type: kubernetes, config: {config}, memory: 1g, shm_size: 64m}}
  small: {{type: kubernetes, config: {config}, memory: 64m, shm_size: 16m}}
  queued: {{type: kubernetes, config: {config}, queue: team, shm_size: 64m}}
  again: {{type: kubernetes, config: {config}, max_retries: 1, volumes: {{scratch: /data}}, folder: /data/runs}}
cancel_grace_seconds: 1
"""


@pytest.fixture(scope="session")
def whole_cluster(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kubernetes_api.serve(tmp_path_factory.mktemp("kubernetes"), engine) as served:
        yield served


@pytest.fixture
def cluster(whole_cluster: Cluster) -> Iterator[Cluster]:
    """The cluster as it should be, before each test and after it."""
    yield whole_cluster
    whole_cluster.away, whole_cluster.queue_admits = False, True
    whole_cluster.kubelet.holds_pods, whole_cluster.kubelet.cannot_pull = False, ""
    whole_cluster.forbidden.clear()


@pytest.fixture(autouse=True)
def _targets(cluster: Cluster, workspace: Workspace, registry: Registry, tmp_path: Path) -> None:
    config = cluster.kubeconfig(workspace.paths.root / "kubeconfig")
    workspace.paths.configuration.write_text(TARGETS.format(registry=registry.address, config=config))


class InPods:
    """The scripts of these tests run in a base image that has Debian's own Python, pushed to the rig's registry."""

    target = "cluster"
    base = ""

    @pytest.fixture(autouse=True)
    def _place(self, python_base_image: str, cluster: Cluster) -> None:
        self.base = python_base_image
        self.cluster = cluster

    def options(self) -> dict[str, object]:
        return {"compute_target": self.target, "environment": Environment.from_docker_image("base", self.base)}


def nothing_is_left(cluster: Cluster) -> None:
    """Every object and every container goes when its run has ended."""
    wait_until(lambda: not cluster.store.objects and not cluster.kubelet.containers(), 60)
