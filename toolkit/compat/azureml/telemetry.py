"""Azure ML SDK v1's telemetry: there is none here."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "INSTRUMENTATION_KEY": "toolkit.inscript.sdk_v1:INSTRUMENTATION_KEY",
        "set_diagnostics_collection": "toolkit.inscript.sdk_v1:set_diagnostics_collection",
    },
)
