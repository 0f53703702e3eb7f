"""What a host says of itself when a connection is made."""

import os
import platform
import sys
from typing import Any, Dict

from toolkit.inscript.host.layout import Layout


def of_this(layout: Layout) -> Dict[str, Any]:
    """Facts of this host, some milliseconds' worth: every connection waits for them."""
    return {
        "folder": layout.folder,
        "workspace": os.path.relpath(layout.workspace, os.path.join(layout.folder, "workspaces")),
        "inscript": layout.inscript,
        "python": sys.executable,
        "machine": os.uname().machine,
        "system": os.uname().sysname,
        "glibc": platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else "",
    }


def boot() -> str:
    """What differs whenever the host was started again; "" where it does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
