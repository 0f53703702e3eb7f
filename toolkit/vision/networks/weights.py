"""Weights of networks: read from a file without executing anything in it, or fetched; and put into a network."""

from __future__ import annotations

import hashlib
import http.client
import os
import pickle
import re
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path

import torch

from toolkit.vision.errors import FailedToDownloadFilesError

RETRIES = 3  # after the first attempt
RETRY_SECONDS = 3.0
_TIMEOUT_SECONDS = 30.0  # without a byte
_CHUNK = 1 << 20
_NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints of other tools keep the state dict
State = dict[str, torch.Tensor]


class UnusableWeights(Exception):
    """Why a file does not give the weights of a network, in words for a message."""


def read(path: Path) -> State:
    """The state dict in a file written by `torch.save`, on the CPU. No code in the file is executed.

    Raises:
        UnusableWeights: there is none that can be read safely.
    """
    try:
        if tarfile.is_tarfile(path):  # torch 0.1 wrote them, and torch before 2.6 does not read them safely
            raise UnusableWeights(f"{path} is in the format of torch 0.1: save its state dict again with a newer torch")
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # if it cannot be read, that is said
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnusableWeights(
            f"{path} is no state dict: {_asks_for(error)}. It was not loaded and nothing in it was executed; where you "
            "trust it, save `model.state_dict()` of the network that it holds with torch.save"
        ) from error
    except (OSError, RuntimeError, ValueError, EOFError, LookupError, AttributeError, TypeError) as error:
        raise UnusableWeights(f"{path} cannot be read: {_first_line(error)}") from error
    for name in _NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    if not isinstance(content, Mapping) or not content:
        raise UnusableWeights(f"{path} holds a {type(content).__name__}, not a state dict {{name: tensor}}")
    strange = [str(name) for name, value in content.items() if not isinstance(value, torch.Tensor)]
    if strange:
        raise UnusableWeights(f"{path} is no state dict {{name: tensor}}: {_listed(strange)} are no tensors")
    return {str(name): value for name, value in content.items()}


def _asks_for(error: pickle.UnpicklingError) -> str:
    found = re.search(r"GLOBAL ([\w.]+)", str(error))
    return f"its pickle asks for {found[1]}" if found else "it is neither a file of torch.save nor a pickle of tensors"


def plain_names(state: Mapping[str, torch.Tensor]) -> State:
    """The state dict without what wrappers (DataParallel, torch.compile) and old torchvision files do to names."""
    prefix = "module." if all(name.startswith("module.") for name in state) else ""
    renamed = {}
    for name, value in state.items():
        plain = name[len(prefix) :].replace("_orig_mod.", "")
        if "denselayer" in plain:
            plain = re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", plain)
        renamed[plain] = value
    return renamed


def check(state: Mapping[str, torch.Tensor], expected: Mapping[str, torch.Tensor], free: set[str]) -> State:
    """The part of `state` that a network takes, which must be all that it expects but for the names in `free`.

    Args:
        expected: the network's own state dict (on any device, the meta device too).
        free: names that need not be there, nor have the expected shape: those of the head.

    Raises:
        UnusableWeights: names are missing or too many, or shapes differ.
    """
    counters = {name for name in expected if name.endswith("num_batches_tracked")}  # files of torch 0.4 lack them
    missing = [name for name in expected if name not in state and name not in free and name not in counters]
    extra = [name for name in state if name not in expected and not name.startswith(("AuxLogits.", "aux1.", "aux2."))]
    kept = {name: value for name, value in state.items() if name in expected and name not in free}
    differ = [
        f"{name} is {_shape(value)} and must be {_shape(expected[name])}"
        for name, value in kept.items()
        if value.shape != expected[name].shape
    ]
    reasons = [f"{word}: {_listed(names)}" for word, names in (("missing", missing), ("unknown", extra)) if names]
    reasons += [f"other shapes: {_listed(differ)}"] if differ else []
    if reasons:
        raise UnusableWeights(f"they are weights of another network; {'; '.join(reasons)}")
    return kept


def put(network: torch.nn.Module, state: Mapping[str, torch.Tensor]) -> None:
    """Copy checked weights into a network; what is not among them stays as it is."""
    versioned = OrderedDict(state)
    versioned._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]  # MNASNet insists on it
    network.load_state_dict(versioned, strict=False)


def fetch(url: str) -> Path:
    """A file of weights by its URL, from the cache of torch.hub where it is there.

    Raises:
        FailedToDownloadFilesError: it cannot be fetched, after 1 + 3 attempts where the connection is at fault.
    """
    name = os.path.basename(url)
    target = Path(torch.hub.get_dir()) / "checkpoints" / name
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in range(RETRIES, -1, -1):
        try:
            _download(url, target)
            return target
        except urllib.error.HTTPError as error:
            reason, again = f"{url} answers {error.code} {error.reason}", error.code >= 500
        except urllib.error.URLError as error:
            reason, again = f"{url}: {error.reason}", True
        except (ConnectionError, TimeoutError, http.client.HTTPException, _WrongContent) as error:
            reason, again = f"{url}: {error or type(error).__name__}", True
        if not again or not left:
            break
        print(f"{reason}: trying again in {RETRY_SECONDS:g} s", file=sys.stderr, flush=True)
        time.sleep(RETRY_SECONDS)
    raise FailedToDownloadFilesError(
        name, f"({reason}.) Or fetch the file elsewhere and give it as weights_path, or put it into {target.parent}."
    )


class _WrongContent(Exception):
    pass


def _download(url: str, target: Path) -> None:
    """Fetch a file to `target`, all of it or nothing; its name carries the first digits of its SHA-256."""
    digest = hashlib.sha256()
    number, staging = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(number, "wb") as file:
            request = urllib.request.Request(url, headers={"User-Agent": "torch.hub"})
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
                while chunk := answer.read(_CHUNK):
                    digest.update(chunk)
                    file.write(chunk)
        wanted = re.search(r"-([0-9a-f]{8,})\.", target.name)
        if wanted and not digest.hexdigest().startswith(wanted[1]):
            raise _WrongContent(f"what came has the SHA-256 {digest.hexdigest()[:16]}…, not {wanted[1]}…")
        os.chmod(staging, 0o644)
        os.replace(staging, target)
    except BaseException:
        os.unlink(staging)
        raise


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(str(size) for size in tensor.shape) or "a scalar"


def _listed(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
