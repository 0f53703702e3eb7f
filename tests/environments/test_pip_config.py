from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.environments import pip_config
from toolkit.environments.pip_config import PipConfig
from toolkit.environments.process import clean


def test_files_sections_and_variables(tmp_path: Path) -> None:
    """Variables over files, [install] over [global], a later file over an earlier one."""
    machine, named = tmp_path / "xdg/pip/pip.conf", tmp_path / "named.conf"
    user = tmp_path / "home/.config/pip/pip.conf"
    for file, text in (
        (machine, "[global]\nindex-url = https://machine.invalid\nproxy = http://machine.invalid\n"),
        (user, "[global]\nfind-links = /user\ntrusted-host = a b\n"),
        (
            named,
            "[install]\nindex-url = https://named.invalid\nextra_index_url = https://x.invalid\n https://y.invalid\n",
        ),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_DIRS": str(tmp_path / "xdg"), "PIP_NO_INDEX": "true"}
    assert pip_config.read(environ).index_url == "https://machine.invalid"
    assert "/user" in pip_config.read(environ).find_links
    environ |= {"PIP_CONFIG_FILE": str(named), "PIP_FIND_LINKS": "/one https://two.invalid/links"}
    config = pip_config.read(environ)
    assert config.index_url == "https://named.invalid"
    assert config.extra_index_urls == ("https://x.invalid", "https://y.invalid")
    assert config.find_links == ("/one", "https://two.invalid/links")
    assert config.proxy == "http://machine.invalid"
    assert config.no_index
    assert pip_config.read({"PIP_CONFIG_FILE": os.devnull}) == PipConfig()


def test_in_the_words_of_uv() -> None:
    config = PipConfig("https://i.invalid", ("https://x.invalid",), ("/a", "/b"), ("h",), "/c.pem", True)
    assert pip_config.uv_variables(config, {"UV_INDEX_URL": "https://mine.invalid", "SSL_CERT_FILE": "/mine.pem"}) == {
        "UV_INDEX": "https://x.invalid",
        "UV_FIND_LINKS": "/a,/b",
        "UV_INSECURE_HOST": "h",
        "UV_INDEX_STRATEGY": "unsafe-best-match",
    }
    assert pip_config.uv_arguments(config) == ["--no-index"]


def test_the_same_as_pip_says_on_this_machine() -> None:
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode != 0:
        pytest.skip("no pip in this environment to compare with")
    code = (
        "from pip._internal.commands import create_command as c; o, _ = c('install').parse_args(['x']);"
        "print(repr((o.extra_index_urls, o.find_links)))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    config = pip_config.read()
    assert repr((list(config.extra_index_urls), list(config.find_links))) == done.stdout.strip()


def test_no_credentials_and_no_control_characters_in_a_log() -> None:
    assert clean("10%\r\x1b[32mget https://me:secret@h.invalid/x\x1b[0m\n") == "get https://***@h.invalid/x"
    assert clean("git+ssh://git@h.invalid/x https://c.invalid/t/ab-12/main") == (
        "git+ssh://git@h.invalid/x https://c.invalid/t/***/main"
    )


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME")
    monkeypatch.setattr("os.getuid", lambda: 4_000_000)  # as in a container with --user: no name, so no home
    assert pip_config.read({}) is not None
