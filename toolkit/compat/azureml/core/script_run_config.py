"""What Azure ML SDK v1 had in `azureml.core.script_run_config`."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "RunConfiguration": "toolkit:RunConfiguration",
        "ScriptRunConfig": "toolkit:ScriptRunConfig",
        "get_run_config_from_script_run": "toolkit.inscript.sdk_v1:get_run_config_from_script_run",
    },
)
