"""What goes wrong between here and a host, each as a sentence with ssh's own words and what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from toolkit.errors import EngineUnreachable
from toolkit.targets.base import LaunchError

if TYPE_CHECKING:
    from toolkit.targets.ssh.connection import Address


class HostUnreachable(EngineUnreachable):
    """The host does not answer; it may come back."""


class HostRefused(LaunchError):
    """The host, or ssh, refuses: somebody has to mend something first."""


# What ssh says, what that means, and what to do. The first that is found counts. `{ssh}` is what a person types.
_REFUSALS = (
    (
        r"REMOTE HOST IDENTIFICATION HAS CHANGED|Host key for .* has changed",
        "the host key of '{host}' is another one than before: either the host was set up anew, or somebody stands "
        "between you and it",
        "if you know that it was set up anew, take the old key out with `{forget}` and run `{ssh} true` once",
    ),
    (
        r"Host key verification failed",
        "the host key of '{host}' is not known on this machine",
        "run `{ssh} true` once and accept its key",
    ),
    (
        r"Permission denied|Too many authentication failures|no mutual signature|UNPROTECTED PRIVATE KEY",
        "ssh may not log in to '{host}' without a password",
        "put your key there with `{copy_id}`, load it into ssh-agent, or name it as `key_file` of the compute target",
    ),
    (
        r"Could not resolve hostname .*(Name or service not known|nodename nor servname|No address associated)",
        "the host '{host}' is not known",
        "mend `host` of the compute target, or add it to {config}",
    ),
    (
        r"Bad configuration option|Can't open user config file|terminating, \d+ bad config|Bad owner or permissions",
        "ssh does not take its configuration",
        "mend the file that it names, or `ssh_config` of the compute target",
    ),
    (
        r"account is (currently |temporarily )?not available",
        "the account on '{host}' has no login shell that starts programs",
        "name another user in `host` of the compute target, or have the account given a shell there",
    ),
    (
        r"not found|No such file or directory|Exec format error|Permission denied: .*python",
        "'{host}' has no {python} to start",
        "install Python 3.6 or later there, or name one as `python` of the compute target",
    ),
    (
        r"unknown option|No module named|SyntaxError|invalid syntax",
        "{python} on '{host}' is too old or broken",
        "name a Python 3.6 or later as `python` of the compute target",
    ),
)


_OF_NO_MATTER = ("Warning: Permanently added", "Could not chdir to home directory")


def explain(address: Address, words: str, code: int | None, printed: str = "") -> HostUnreachable | HostRefused:
    """The error of an ssh process that ended with `code`.

    Args:
        words: what came on its standard error.
        printed: what came on its standard output instead of what was asked for: there nologin says what it has to.
    """
    lines = _lines(words) or _lines(printed)[-1:]
    said = lines[-1].rstrip(".")[:400] if lines else f"nothing; ssh ended with code {code}"
    ssh = address.by_hand("ssh")
    names = {
        "host": address.host,
        "python": address.python,
        "config": address.ssh_config or "~/.ssh/config",
        "ssh": ssh,
        "copy_id": address.by_hand("ssh-copy-id"),
        "forget": _forget(words),
    }
    for pattern, meaning, advice in _REFUSALS:
        if re.search(pattern, "\n".join(lines)):
            return HostRefused(f"{meaning.format(**names)}. ssh said: {said}. To go on: {advice.format(**names)}")
    if code not in (255, None) and code >= 0:
        return HostRefused(
            f"'{address.host}' ended the toolkit's process with code {code}: {said}. Try `{ssh} {address.python} -V` "
            "by hand"
        )
    return HostUnreachable(
        f"'{address.host}' does not answer: {said}. Is it on, and does `{ssh} true` work? Runs that it has go on"
    )


def _lines(words: str) -> list[str]:
    """What was said, without frames of @ and without what ssh says of logins that work as well."""
    lines = [line.strip() for line in words.splitlines()]
    return [line for line in lines if set(line) - {"@"} and not line.startswith(_OF_NO_MATTER)]


def _forget(words: str) -> str:
    """The command that takes a host key out, as some builds of ssh say it whole."""
    said = re.search(r"ssh-keygen .*-R .*", words)
    return said[0].strip() if said else "ssh-keygen -R"
