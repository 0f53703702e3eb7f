"""Says that this `azureml` is the toolkit's, and which version of the SDK it stands for."""

VERSION = "1.61.0"
