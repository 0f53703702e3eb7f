"""The Slurm target on a real cluster: the contract."""

from __future__ import annotations

from tests.contract.target_contract import TargetContract


class TestSlurm(TargetContract):
    target = "slurm"
    wide = "many"
