"""What Azure ML SDK v1 had in `azureml.core.script_run`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "ScriptRun": "toolkit:Run",
    },
)
