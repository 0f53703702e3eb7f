from tests.contract.target_contract import TargetContract


class TestLocal(TargetContract):
    target = "local"


class TestSharedSlots(TargetContract):
    """`cpu-cluster` takes its slots from `local`."""

    target = "cpu-cluster"
