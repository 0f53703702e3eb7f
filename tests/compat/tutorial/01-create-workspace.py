from azureml.core import Workspace

ws = Workspace.create(
    name="tutorial-ws",
    subscription_id="00000000-0000-0000-0000-000000000000",
    resource_group="tutorial-resources",
    create_resource_group=True,
    location="westeurope",
)
ws.write_config(path=".azureml")
