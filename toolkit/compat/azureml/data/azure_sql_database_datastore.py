"""What Azure ML SDK v1 had in `azureml.data.azure_sql_database_datastore`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=("AzureSqlDatabaseDatastore",),
)
