"""The limit of a snapshot, as scripts of Azure ML SDK v1 lifted it.

A known trick of theirs: `azureml._restclient.snapshots_client.SNAPSHOT_MAX_SIZE_BYTES = 2**40`. What is set here holds
for what this process submits, where it is more than the workspace's `snapshot_limit_mb`.
"""

DEFAULT = 300000000
SNAPSHOT_MAX_SIZE_BYTES = DEFAULT
