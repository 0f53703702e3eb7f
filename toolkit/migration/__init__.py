"""From the `azureml` imports of SDK v1 scripts to the toolkit's own: what `toolkit migrate` does."""
