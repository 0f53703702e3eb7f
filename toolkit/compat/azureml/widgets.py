"""What Azure ML SDK v1 showed runs with."""

from toolkit.inscript.lazy import offer

offer(
    __name__,
    {
        "RunDetails": "toolkit:RunDetails",
    },
)
