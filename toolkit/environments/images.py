"""Images of environments: found by their key, or built from a lock."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Image:
    """An image that an engine has.

    Args:
        id: as the engine names it, "sha256:…": the digest of its configuration, or of its manifest.
        python: the interpreter in it.
        lock_hash: the lock that it was made from; "" for a base as it is.
        seconds: how long each phase of its build took.
    """

    id: str
    python: str
    lock_hash: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
