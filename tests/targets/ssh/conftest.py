"""A host that ssh reaches, for these tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import needs
from tests.rig import sshd


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sshd.Host]:
    """A host with a toolkit's folder of its own, on the same file system as this side."""
    needs(not sshd.why_not(), sshd.why_not())
    with sshd.serve(tmp_path_factory.mktemp("ssh-host")) as served:
        yield served
