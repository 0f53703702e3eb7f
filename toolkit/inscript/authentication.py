"""The authentication classes of Azure ML SDK v1: scripts make them, and nobody signs in."""

import sys
from typing import Any, Callable, Dict, Optional

_said = False


class AbstractAuthentication:
    """Taken wherever a script gives `auth`, and not used: a workspace is a folder of this machine."""

    def __init__(self) -> None:
        global _said
        if not _said:
            _said = True
            print("toolkit: %s: nobody has to sign in, so it is not used" % type(self).__name__, file=sys.stderr)

    def get_authentication_header(self) -> Dict[str, str]:
        """{}: no header is needed."""
        return {}

    def get_token(self, *scopes: str, **options: object) -> str:
        """ "": no token is needed."""
        return ""


class AzureCliAuthentication(AbstractAuthentication):
    """Signing in with the `az` command: not needed."""

    def __init__(self, cloud: Optional[str] = None) -> None:
        AbstractAuthentication.__init__(self)


class InteractiveLoginAuthentication(AbstractAuthentication):
    """Signing in with a browser: not needed."""

    def __init__(
        self, force: bool = False, tenant_id: Optional[str] = None, cloud: Optional[str] = None, **kwargs: object
    ) -> None:
        AbstractAuthentication.__init__(self)


class ServicePrincipalAuthentication(AbstractAuthentication):
    """Signing in as a service principal: not needed. The password is not kept."""

    def __init__(
        self,
        tenant_id: Optional[str] = None,
        service_principal_id: Optional[str] = None,
        service_principal_password: Optional[str] = None,
        cloud: str = "AzureCloud",
        _enable_caching: bool = True,
        certificate_path: Optional[str] = None,
        **kwargs: object,
    ) -> None:
        AbstractAuthentication.__init__(self)


class MsiAuthentication(AbstractAuthentication):
    """Signing in as a managed identity: not needed."""

    def __init__(self, cloud: Optional[str] = None, identity_config: Optional[Dict[str, Any]] = None) -> None:
        AbstractAuthentication.__init__(self)


class TokenAuthentication(AbstractAuthentication):
    """Signing in with tokens of a function's: not needed, and the function is not called."""

    def __init__(
        self, get_token_for_audience: Optional[Callable[[str], str]] = None, cloud: str = "AzureCloud"
    ) -> None:
        AbstractAuthentication.__init__(self)


class AzureMLTokenAuthentication(AbstractAuthentication):
    """The token that runs had of Azure ML: not needed."""


class Audience:
    """What tokens were for."""

    ARM = "ARM"
    AZUREML = "AZUREML"

    arm = ARM
    aml = AZUREML
