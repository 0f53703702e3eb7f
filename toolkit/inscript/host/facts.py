"""What a host says of itself when a connection is made."""

import os
import platform
import shutil
import sys
from typing import Any, Dict

from toolkit.inscript.host import gpus
from toolkit.inscript.host.layout import Layout


def of_this(layout: Layout) -> Dict[str, Any]:
    """Facts of this host, some milliseconds' worth."""
    disk = os.statvfs(layout.folder)
    return {
        "folder": layout.folder,
        "workspace": os.path.relpath(layout.workspace, os.path.join(layout.folder, "workspaces")),
        "inscript": layout.inscript,
        "python": sys.executable,
        "version": "%d.%d.%d" % sys.version_info[:3],
        "name": os.uname().nodename,
        "machine": os.uname().machine,
        "system": os.uname().sysname,
        "glibc": platform.libc_ver()[1] if platform.libc_ver()[0] == "glibc" else "",
        "boot": boot(),
        "free_bytes": disk.f_bavail * disk.f_frsize,
        "rsync": bool(shutil.which("rsync")),
        "gpus": [gpu.uuid for gpu in gpus.there()],
    }


def boot() -> str:
    """What differs whenever the host was started again; "" where it does not say."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""
