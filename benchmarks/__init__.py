"""The benchmarks: every figure next to its peers, measured in the same run. `python -m benchmarks [GROUP]`."""
