"""The part of a workspace's folder that its runs share with control scripts: data, models that are asked for, secrets.

A run finds it two folders above its own. A container has these folders mounted under the paths that they have here.

workspace.json              what the workspace was created with; workspace.yaml: what the user may edit
datastores/<name>.json       a datastore, and default.json: which is the default
datasets/                    registered data sets and their versions
storage/<name>/              what the workspace's own datastores hold
secrets/<name>               one file a secret, readable by this user alone
"""

import os
from typing import List


class WorkspaceDirectory:
    """Names the folders of a workspace that a script may use."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.name = os.path.basename(root.rstrip(os.sep))

    def __repr__(self) -> str:
        return "WorkspaceDirectory(%r)" % self.root

    @property
    def facts(self) -> str:
        """What the workspace was created with: location, tags and the like. Containers do not have it."""
        return os.path.join(self.root, "workspace.json")

    @property
    def configuration(self) -> str:
        return os.path.join(self.root, "workspace.yaml")

    @property
    def runs(self) -> str:
        return os.path.join(self.root, "runs")

    @property
    def datastores(self) -> str:
        return os.path.join(self.root, "datastores")

    @property
    def datasets(self) -> str:
        return os.path.join(self.root, "datasets")

    @property
    def storage(self) -> str:
        return os.path.join(self.root, "storage")

    @property
    def secrets(self) -> str:
        return os.path.join(self.root, "secrets")

    @property
    def shared(self) -> List[str]:
        """The folders that a container gets, and may write to."""
        return [self.datastores, self.datasets, self.storage, self.secrets]
