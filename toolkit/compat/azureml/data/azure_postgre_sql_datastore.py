"""What Azure ML SDK v1 had in `azureml.data.azure_postgre_sql_datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=("AzurePostgreSqlDatastore",),
)
