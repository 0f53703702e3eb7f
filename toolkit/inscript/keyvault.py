"""`Keyvault`: the secrets of a workspace, for control scripts and for scripts in runs."""

import os
from typing import Any, Dict, List, Optional

from toolkit.inscript import elsewhere, model_registry, requests, secrets
from toolkit.inscript.errors import UserErrorException


class Keyvault:
    """The secrets of a workspace, by name. `Workspace.get_default_keyvault()` is it.

    Each is a file that no other user of the machine may read; whoever may write the runs of a workspace may read them.
    """

    def __init__(self, workspace: Any) -> None:
        self.workspace = workspace

    def set_secret(self, name: str, value: str, content_type: object = None) -> None:
        """Keep a secret; one of the same name is replaced.

        Raises:
            UserErrorException: a name that cannot be, or a value that is no text.
        """
        secrets.put(self.workspace.shared, name, value)

    def set_secrets(self, secrets_batch: Dict[str, str]) -> None:
        """Keep several secrets, by name."""
        for name, value in secrets_batch.items():
            self.set_secret(name, value)

    def get_secret(self, name: str) -> str:
        """The value of a secret.

        Raises:
            UserErrorException: there is no such secret.
        """
        value = secrets.get(self.workspace.shared, name)
        if value is None and elsewhere.place(self.workspace.shared):
            value = self._asked_for(name)
        if value is None:
            raise UserErrorException(
                "the workspace '%s' has no secret '%s': keep one with get_default_keyvault().set_secret('%s', VALUE)"
                % (self.workspace.name, name, name)
            )
        return value

    def _asked_for(self, name: str) -> Optional[str]:
        """The value that the tracker of the workspace knows, for a script on another machine; None where there is none.

        Raises:
            UserErrorException: nothing can be asked from here.
        """
        run = model_registry.run_to_ask(self.workspace)
        if run is None:
            return None
        engine = os.environ.get(requests.NO_ANSWERS)
        if engine:
            raise UserErrorException(
                "the secret '%s' is on the machine that submitted the run, and a script on %s cannot ask for it: keep "
                "it on the cluster, in a file, or hand it over in environment_variables, which are kept with the run"
                % (name, engine)
            )
        value: Optional[str] = requests.ask(run, "secrets.get", {"name": name})
        return value

    def get_secrets(self, secrets: List[str]) -> Dict[str, str]:
        """The values of several secrets, by name."""
        return {name: self.get_secret(name) for name in secrets}

    def get_secret_content_type(self, name: str) -> Optional[str]:
        """None: the secrets are text, and nothing more is kept of them."""
        self.get_secret(name)
        return None

    def list_secrets(self) -> List[Dict[str, str]]:
        """The names of the secrets, as Azure ML SDK v1 gave them: `[{"name": …}]`."""
        return [{"name": name} for name in secrets.names(self.workspace.shared)]

    def delete_secret(self, name: str) -> None:
        """Forget a secret; one that is not there is forgotten already."""
        secrets.remove(self.workspace.shared, name)

    def delete_secrets(self, secrets: List[str]) -> None:
        """Forget several secrets."""
        for name in secrets:
            self.delete_secret(name)

    def __repr__(self) -> str:
        return "Keyvault(workspace=%r)" % self.workspace.name
