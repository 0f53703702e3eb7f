"""What Azure ML SDK v1 had in `azureml.data.sql_data_reference`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {},
    absent=("SqlDataReference",),
)
