"""The user's pip configuration, in uv's words: uv reads none of it, and behind a mirror nothing installs without."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_UV_INDEX_VARIABLES = (
    "UV_CONSTRAINT", "UV_DEFAULT_INDEX", "UV_EXCLUDE_NEWER", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "UV_INDEX",
    "UV_INDEX_STRATEGY", "UV_INDEX_URL", "UV_NO_INDEX", "UV_OVERRIDE", "UV_PRERELEASE", "UV_RESOLUTION",
    "UV_TORCH_BACKEND",
)  # fmt: skip
_CREDENTIALS = re.compile(r"(?<=://)(?!git@)[^/\s@]+@")  # `git@` is nobody's secret
_CHANNEL_TOKEN = re.compile(r"(https?://[^/\s]+/t/)[^/\s]+")


@dataclass(frozen=True)
class PipConfig:
    """What pip's configuration says about where packages come from.

    Args:
        index_url: the index in place of the default one; "" where it is not set.
        extra_index_urls: further indexes; pip takes the best version of all.
        find_links: folders or pages with links to wheels.
        trusted_hosts: hosts whose certificate is not checked.
        cert: a file of certificates; "" where it is not set.
        no_index: take from `find_links` only.
        proxy: a proxy's URL; "" where it is not set.
        timeout: seconds, as text; "" where it is not set.
    """

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    trusted_hosts: tuple[str, ...] = ()
    cert: str = ""
    no_index: bool = False
    proxy: str = ""
    timeout: str = ""


def read(environ: Mapping[str, str] = os.environ) -> PipConfig:
    """The configuration that `pip install` would see: files first, `PIP_*` variables over them."""
    values = _file_values(environ)
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            values[name[4:].lower().replace("_", "-")] = value
    return PipConfig(
        index_url=values.get("index-url", values.get("pypi-url", "")).strip(),
        extra_index_urls=tuple(values.get("extra-index-url", "").split()),
        find_links=tuple(_absolute(link) for link in values.get("find-links", "").split()),
        trusted_hosts=tuple(values.get("trusted-host", "").split()),
        cert=values.get("cert", "").strip(),
        no_index=values.get("no-index", "").strip().lower() in ("1", "true", "yes", "on", "y", "t"),
        proxy=values.get("proxy", "").strip(),
        timeout=values.get("timeout", values.get("default-timeout", "")).strip(),
    )


def uv_variables(config: PipConfig, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that make uv look where pip would look. Those that the user has set for uv are left alone."""
    wanted = {
        "UV_DEFAULT_INDEX": config.index_url,
        "UV_INDEX": " ".join(config.extra_index_urls),
        "UV_FIND_LINKS": ",".join(config.find_links),
        "UV_INSECURE_HOST": " ".join(config.trusted_hosts),
        "UV_INDEX_STRATEGY": "unsafe-best-match" if config.extra_index_urls else "",  # pip's own semantics
        "UV_HTTP_TIMEOUT": config.timeout,
        "SSL_CERT_FILE": config.cert,
        "HTTPS_PROXY": config.proxy,
        "HTTP_PROXY": config.proxy,
    }
    older_names = {
        "UV_DEFAULT_INDEX": ("UV_INDEX_URL",),
        "UV_INDEX": ("UV_EXTRA_INDEX_URL",),
        "HTTPS_PROXY": ("https_proxy", "ALL_PROXY", "all_proxy"),
        "HTTP_PROXY": ("http_proxy", "ALL_PROXY", "all_proxy"),
    }
    return {
        name: value
        for name, value in wanted.items()
        if value and not any(environ.get(other) for other in (name, *older_names.get(name, ())))
    }


def uv_arguments(config: PipConfig) -> list[str]:
    """The arguments of `uv pip` for what has no variable."""
    return ["--no-index"] if config.no_index else []


def index_settings(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """What decides which packages are seen, for the key of an environment; credentials are left out."""
    config = read(environ)
    settings = {name: environ[name] for name in _UV_INDEX_VARIABLES if environ.get(name)}
    translated = uv_variables(config, environ)
    settings.update({name: value for name, value in translated.items() if name in _UV_INDEX_VARIABLES})
    if config.no_index:
        settings["no-index"] = "true"
    return {name: without_credentials(value) for name, value in settings.items()}


def without_credentials(text: str) -> str:
    """`text` with the user name and the password of every URL in it taken out, and conda's tokens (`/t/TOKEN/`)."""
    return _CHANNEL_TOKEN.sub(r"\1***", _CREDENTIALS.sub("***@", text))


def _file_values(environ: Mapping[str, str]) -> dict[str, str]:
    """The options of pip's files: [install] over [global], and a later file over an earlier one."""
    import configparser

    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _files(environ):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue  # pip itself will tell the user
        for section, values in sections.items():
            if parser.has_section(section):
                values.update({name.lower().replace("_", "-"): value for name, value in parser.items(section)})
    return {**sections["global"], **sections["install"]}


def _files(environ: Mapping[str, str]) -> list[Path]:
    """pip's configuration files, the one with the last word last."""
    named = environ.get("PIP_CONFIG_FILE", "")
    if named == os.devnull:
        return []
    home = Path(environ.get("HOME") or os.path.expanduser("~"))  # "~" itself for a uid without a name: no such file
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    if sys.platform == "darwin":
        machine = [Path("/Library/Application Support/pip/pip.conf")]
        support = home / "Library/Application Support/pip"
        user = support if support.is_dir() else config_home / "pip"
    else:
        folders = (environ.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(os.pathsep)
        machine = [*(Path(folder, "pip/pip.conf") for folder in folders), Path("/etc/pip.conf")]
        user = config_home / "pip"
    files = machine
    if not (named and Path(named).exists()):
        files = [*files, home / ".pip/pip.conf", user / "pip.conf"]
    files = [*files, Path(sys.prefix, "pip.conf")]
    return [*files, Path(named)] if named else files


def _absolute(link: str) -> str:
    """A folder by its whole path: uv does not run in the folder that the user is in."""
    return link if "://" in link else str(Path(link).expanduser().absolute())
