"""What Azure ML SDK v1 had in `azureml.core.authentication`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "AbstractAuthentication": "toolkit.inscript.authentication:AbstractAuthentication",
        "Audience": "toolkit.inscript.authentication:Audience",
        "AuthenticationException": "toolkit.inscript.errors:AuthenticationException",
        "AzureCliAuthentication": "toolkit.inscript.authentication:AzureCliAuthentication",
        "AzureMLTokenAuthentication": "toolkit.inscript.authentication:AzureMLTokenAuthentication",
        "InteractiveLoginAuthentication": "toolkit.inscript.authentication:InteractiveLoginAuthentication",
        "MsiAuthentication": "toolkit.inscript.authentication:MsiAuthentication",
        "ServicePrincipalAuthentication": "toolkit.inscript.authentication:ServicePrincipalAuthentication",
        "TokenAuthentication": "toolkit.inscript.authentication:TokenAuthentication",
    },
    absent=("ArmTokenAuthentication",),
)
