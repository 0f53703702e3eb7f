import sys

from azureml.core import Workspace

ws = Workspace.from_config()
datastore = ws.get_default_datastore()
datastore.upload(src_dir=sys.argv[1], target_path="datasets/cifar10", overwrite=True, show_progress=True)
