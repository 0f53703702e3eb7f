"""A cluster's REST API: the few calls that runs need, with plain documents.

Who the cluster is and who asks (kubeconfig files, tokens, certificates, programs that give tokens, the account of a
pod) is the business of the official `kubernetes` package; its connections are used for the calls as well.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from toolkit import imports
from toolkit.errors import EngineUnreachable, ToolkitError

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

Object = dict[str, Any]
ANSWER_SECONDS = 30.0
SILENCE_SECONDS = 60.0  # a log that says nothing for so long is opened anew: a connection may be dead without a word
_CONNECTIONS = 100
_GROUPS = {"jobs": "apis/batch/v1", "pods": "api/v1", "services": "api/v1", "secrets": "api/v1"}
_MERGE = "application/strategic-merge-patch+json"


class Refused(ToolkitError):
    """The cluster does not do what it was asked; `code` is HTTP's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Where:
    """Which cluster, and where in it: as the settings of a target say.

    Attributes:
        config: the kubeconfig file; "" for what `kubectl` would take.
        context: of the contexts in there; "" for the current one.
        namespace: "" for that of the context.
    """

    config: str = ""
    context: str = ""
    namespace: str = ""

    def __str__(self) -> str:
        return f"the Kubernetes cluster{f' of the context {self.context!r}' if self.context else ''}"


class Api:
    """The API of one cluster in one namespace; safe for threads."""

    def __init__(self, where: Where) -> None:
        self.where = where
        self._client, found = _connect(where)
        self._client.configuration.connection_pool_maxsize = _CONNECTIONS
        self.namespace = where.namespace or found or "default"

    def create(self, resource: str, item: Object) -> Object:
        return self._json("POST", self._path(resource), body=item)

    def get(self, resource: str, name: str) -> Object:
        return self._json("GET", self._path(resource, name))

    def list(self, resource: str, selector: str) -> Object:
        return self._json("GET", self._path(resource, query={"labelSelector": selector}))

    def patch(self, resource: str, name: str, change: Object) -> Object:
        return self._json("PATCH", self._path(resource, name), body=change, content=_MERGE)

    def delete(self, resource: str, name: str, grace: int | None = None) -> None:
        """Have an object deleted, and what it owns after it; one that is gone already is fine."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        try:
            self._json("DELETE", self._path(resource, name), body=options)
        except Refused as error:
            if error.code != 404:
                raise

    def watch(self, resource: str, selector: str, version: str, seconds: int) -> Generator[Object, None, None]:
        """What happens to objects from a version on, as the API tells it, for so many seconds."""
        query = {"labelSelector": selector, "watch": "1", "resourceVersion": version, "timeoutSeconds": str(seconds)}
        query["allowWatchBookmarks"] = "true"
        for line in _lines(self._stream(self._path(resource, query=query), seconds + 15)):
            yield json.loads(line)

    def log(self, pod: str, container: str, follow: bool) -> Generator[bytes, None, None]:
        """What a container has written so far and, if asked for, what it writes until it ends."""
        query = {"container": container, **({"follow": "true"} if follow else {})}
        yield from self._stream(self._path("pods", pod, "log", query=query), SILENCE_SECONDS)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _path(self, resource: str, *rest: str, query: dict[str, str] | None = None) -> str:
        parts = "/".join(quote(part, safe="") for part in ("namespaces", self.namespace, resource, *rest))
        return f"/{_GROUPS[resource]}/{parts}{f'?{urlencode(query)}' if query else ''}"

    def _json(self, method: str, path: str, body: Object | None = None, content: str = "application/json") -> Object:
        response = self._request(method, path, ANSWER_SECONDS, body, content)
        try:
            answer: Object = json.loads(response.data)
        except ValueError:
            answer = {}
        finally:
            response.release_conn()
        self._check(response.status, answer)
        return answer

    def _stream(self, path: str, silence: float) -> Generator[bytes, None, None]:
        response = self._request("GET", path, silence, None, "")
        try:
            if response.status >= 400:
                self._check(response.status, _document(response.data))
            yield from response.stream(1 << 16, decode_content=True)
        finally:
            response.close()  # what was not read to its end cannot be used again
            response.release_conn()

    def _request(self, method: str, path: str, silence: float, body: Object | None, content: str) -> Any:
        import urllib3

        configuration = self._client.configuration
        headers = {"Accept": "application/json, */*", "User-Agent": "toolkit"}
        for one in configuration.auth_settings().values():  # a token that has run out is made anew here
            headers[one["key"]] = one["value"]
        if content:
            headers["Content-Type"] = content
        try:
            return self._client.rest_client.pool_manager.request(
                method,
                configuration.host.rstrip("/") + path,
                body=None if body is None else json.dumps(body),
                headers=headers,
                timeout=urllib3.Timeout(connect=10, read=silence),
                retries=False,
                preload_content=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise EngineUnreachable(f"{self.where} at {configuration.host} does not answer: {error}") from error

    def _check(self, code: int, answer: Object) -> None:
        """Raise what an answer comes to that is none.

        Raises:
            EngineUnreachable: it may be otherwise later.
            Refused: it will not.
        """
        if code < 400:
            return
        said = str(answer.get("message") or f"it answers with status {code}")
        if code == 429 or code >= 500:
            raise EngineUnreachable(f"{self.where} does not do its work in this moment: {said}")
        if code == 401:
            said = f"{self.where} does not know you (401): sign in again, as with the command that made your kubeconfig"
        elif code == 403:
            said = f"{self.where} does not let you: {said}. docs/kubernetes.md has the Role that runs need"
        raise Refused(code, said)


def _connect(where: Where) -> tuple[ApiClient, str]:
    """A client of the official package, and the namespace that its context or its pod's account names.

    Raises:
        EngineUnreachable: there is no configuration, or it is broken; it may be mended meanwhile.
        ToolkitError: the package is not installed.
    """
    try:
        with imports.whole:
            from kubernetes import client, config
    except ImportError as error:
        raise ToolkitError(
            "runs on Kubernetes need the package 'kubernetes', which is not installed here: "
            "pip install 'toolkit[kubernetes]'"
        ) from error
    try:
        made = config.new_client_from_config(where.config or None, where.context or None)
        contexts, current = config.list_kube_config_contexts(where.config or None)
        chosen = next((one for one in contexts if one["name"] == where.context), current)
        return made, str(chosen["context"].get("namespace") or "")
    except config.ConfigException as error:
        if where.config or where.context:
            raise EngineUnreachable(
                f"{where} cannot be found: {error}. Mend the target's config and context"
            ) from error
    settings = client.Configuration()
    try:
        config.load_incluster_config(settings)
    except config.ConfigException as error:
        raise EngineUnreachable(
            "there is no Kubernetes cluster here: no kubeconfig (KUBECONFIG, ~/.kube/config) names one, and this is no "
            "pod. `kubectl config get-contexts` should list it; the target's `config` names another file"
        ) from error
    with open("/var/run/secrets/kubernetes.io/serviceaccount/namespace", encoding="utf-8") as file:
        return client.ApiClient(settings), file.read().strip()


def _lines(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        yield from (line for line in whole if line.strip())


def _document(content: bytes) -> Object:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
