from __future__ import annotations

import platform
import subprocess
from pathlib import Path

import pytest

from toolkit.environments import interpreters
from toolkit.environments.conda_requirement import parse
from toolkit.errors import EnvironmentBuildError

OWN = platform.python_version()


@pytest.mark.parametrize("pin", [f"python={OWN}", "python>=3.10,<3.14", f"python {'.'.join(OWN.split('.')[:2])}.*"])
def test_the_toolkit_s_own_is_preferred(pin: str, tmp_path: Path) -> None:
    found = interpreters.find(parse(pin), print, tmp_path)
    assert (found.version, found.source) == (OWN, "the toolkit's own")
    assert not (Path(found.path).parent.parent / "pyvenv.cfg").exists()


def test_no_pin(tmp_path: Path) -> None:
    log: list[str] = []
    assert interpreters.find(None, log.append, tmp_path).version == OWN
    assert log == [f"no version of Python is asked for: taking the toolkit's own, {OWN}"]


def test_another_version_is_a_real_interpreter(tmp_path: Path) -> None:
    found_here = interpreters.installed(print, tmp_path)
    others = [one for one in found_here if one.version.split(".")[:2] != OWN.split(".")[:2]]
    if not others:
        pytest.skip(f"no other Python than {OWN} on this machine")
    minor = ".".join(others[-1].version.split(".")[:2])
    found = interpreters.find(parse(f"python={minor}"), print, tmp_path)
    assert "shims" not in found.path
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    assert subprocess.run([found.path, "-c", code], capture_output=True, text=True).stdout.strip() == minor


def test_none_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS", "never")
    with pytest.raises(EnvironmentBuildError) as caught:
        interpreters.find(parse("python=3.4.9"), print, tmp_path)
    message = str(caught.value)
    assert "no Python on this machine satisfies 'python=3.4.9', and UV_PYTHON_DOWNLOADS does not allow" in message
    assert f"  {OWN}  " in message
    assert "loosen the pin" in message and "python.interpreter_path" in message
