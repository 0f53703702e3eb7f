"""Ray's Jobs API over HTTP, as far as runs need it: nothing of Ray is installed on this side."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Generator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from toolkit.errors import EngineUnreachable, ToolkitError

ANSWER_SECONDS = 20.0
UPLOAD_SECONDS = 300.0
SILENT_SECONDS = 12.0  # a log that flows has a heartbeat every 5 s
FLOW_SECONDS = 0.05  # how often Ray looks for more of a log; by itself every second
PIECE_BYTES = 1 << 16


class RayError(ToolkitError):
    """The cluster refused what it was asked for. `status` is HTTP's, `said` all of its answer."""

    def __init__(self, message: str, status: int, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class RayClient:
    """The dashboard of one cluster.

    Args:
        address: as in "http://head:8265".
        token_file: a file with the cluster's token; read at every call, since tokens change.
    """

    def __init__(self, address: str, token_file: str = "") -> None:
        self.address = address.rstrip("/")
        self._token_file = token_file

    def version(self) -> str:
        """Ray's own, as in "2.60.0"."""
        return str(self._json("GET", "/api/version", seconds=5.0).get("ray_version"))

    def has_package(self, name: str) -> bool:
        """Whether the cluster has this package. Asking keeps it there for ten minutes."""
        try:
            self._call("GET", f"/api/packages/gcs/{quote(name)}")
        except RayError as error:
            if error.status == 404:
                return False
            raise
        return True

    def put_package(self, name: str, content: bytes) -> None:
        self._call("PUT", f"/api/packages/gcs/{quote(name)}", content, UPLOAD_SECONDS)

    def submit(self, job: dict[str, Any]) -> None:
        """Have the cluster take a job; one that it has already, by its `submission_id`, is not started again."""
        try:
            self._json("POST", "/api/jobs/", job)
        except RayError as error:
            if any(str(job["submission_id"]) in line and "already exists" in line for line in error.said.splitlines()):
                return
            if error.status >= 500:  # its agent is busy, or just coming up
                raise EngineUnreachable(str(error)) from error
            raise

    def jobs(self) -> dict[str, dict[str, Any]]:
        """All jobs that the cluster knows, by submission id."""
        listed: list[dict[str, Any]] = self._json("GET", "/api/jobs/")
        return {str(job["submission_id"]): job for job in listed if job.get("submission_id")}

    def stop(self, submission_id: str) -> None:
        """Ask for the end of a job; one that is gone or over is none the worse for it."""
        self._unless_gone("POST", f"/api/jobs/{quote(submission_id)}/stop")

    def delete(self, submission_id: str) -> bool:
        """Have the cluster forget a job that has ended; False where it knows none."""
        return self._unless_gone("DELETE", f"/api/jobs/{quote(submission_id)}")

    def _unless_gone(self, method: str, path: str) -> bool:
        try:
            self._call(method, path)
        except RayError as error:
            if error.status != 404:
                raise
            return False
        return True

    def job(self, submission_id: str) -> dict[str, Any]:
        """What the cluster knows of one job."""
        found: dict[str, Any] = self._json("GET", f"/api/jobs/{quote(submission_id)}")
        return found

    def log(self, submission_id: str, node_id: str, flowing: bool) -> Generator[bytes, None, None]:
        """The log of a job on its node, from the beginning: what there is now, or as it flows."""
        asked: dict[str, object] = {"node_id": node_id, "filename": f"job-driver-{submission_id}.log", "lines": -1}
        if flowing:
            asked["interval"] = FLOW_SECONDS
        kind = "stream" if flowing else "file"
        with self._open("GET", f"/api/v0/logs/{kind}?{urlencode(asked)}", None, SILENT_SECONDS) as answer:
            while piece := answer.read1(PIECE_BYTES):
                yield piece

    def _json(self, method: str, path: str, body: object = None, seconds: float = ANSWER_SECONDS) -> Any:
        content = None if body is None else json.dumps(body).encode()
        found = self._call(method, path, content, seconds)
        try:
            return json.loads(found)
        except ValueError as error:
            raise EngineUnreachable(
                f"{self.address} does not answer as Ray's dashboard does ({found[:80]!r}): is it the right address?"
            ) from error

    def _call(self, method: str, path: str, content: bytes | None = None, seconds: float = ANSWER_SECONDS) -> bytes:
        try:
            with self._open(method, path, content, seconds) as answer:
                return bytes(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error

    def _open(self, method: str, path: str, content: bytes | None, seconds: float) -> http.client.HTTPResponse:
        request = urllib.request.Request(self.address + path, content, self._headers(content), method=method)
        try:
            answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        return answer

    def _headers(self, content: bytes | None) -> dict[str, str]:
        headers = {"Content-Type": "application/json" if content and content[:1] in b"{[" else "application/zip"}
        if self._token_file:
            try:
                token = Path(self._token_file).expanduser().read_text(encoding="utf-8").strip()
            except OSError as error:
                raise EngineUnreachable(f"the token of {self.address} cannot be read: {error}") from error
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _refused(self, error: urllib.error.HTTPError) -> ToolkitError:
        with error:
            said = error.read(1 << 16).decode("utf-8", "replace").strip()
        if error.code in (401, 403):
            return RayError(
                f"{self.address} wants a token (HTTP {error.code}): name a file that has it, as in "
                "token_file: ~/.ray/auth_token, in the settings of the compute target",
                error.code,
            )
        if error.code in (502, 503, 504):
            return self._unreachable(error)
        lines = [line for line in said.splitlines() if any(letter.isalnum() for letter in line)]  # of a traceback
        last = lines[-1] if lines else error.reason
        return RayError(f"Ray at {self.address} refused: {last} (HTTP {error.code})", error.code, said)

    def _unreachable(self, error: Exception) -> EngineUnreachable:
        reason = getattr(error, "reason", None) or error
        return EngineUnreachable(
            f"no Ray cluster answers at {self.address} ({reason}): is its head up, and the address right? "
            f"`curl {self.address}/api/version` tells"
        )
