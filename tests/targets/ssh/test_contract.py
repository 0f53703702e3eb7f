"""The SSH target passes the contract, on a real sshd."""

from __future__ import annotations

import pytest

from tests.contract.target_contract import TargetContract
from tests.rig import sshd
from toolkit import Workspace


class TestSsh(TargetContract):
    target = "remote"

    @pytest.fixture(autouse=True)
    def _target(self, workspace: Workspace, host: sshd.Host) -> None:
        workspace.paths.configuration.write_text(
            f"compute_targets:\n  local: {{type: local}}\n  remote: {{{host.settings}, slots: 1}}\n"
            "cancel_grace_seconds: 1\n"
        )
