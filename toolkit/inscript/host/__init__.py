"""What runs on a host that an SSH target reaches: one process a connection, which starts, watches and ends runs there.

Standard library only, Python 3.6 and later. `toolkit.targets.ssh` is the other side, and says how it is started.
"""
