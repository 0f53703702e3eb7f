"""A stand-in for a Kubernetes cluster: an API server on loopback whose pods are containers of the local engine.

It speaks the few REST calls that the toolkit makes (create, get, list, watch, patch, delete of Jobs, Pods, Services and
Secrets, and the log of a pod), checks the token, and does what a cluster's controllers do with them: pods are made for
Jobs and started once their Secrets are there, a pod that fails fails its Job, what an object owns goes with it.
It is no proof that a real cluster takes the same: its manifests are checked against the published schemas for that.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.rig.kubernetes_pods import Kubelet

Object = dict[str, Any]
NAMESPACE = "training"
_API = {
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "services": ("v1", "Service"),
    "secrets": ("v1", "Secret"),
}
_SECRET_BYTES = 1 << 20


class Refusal(Exception):
    """What the API answers with a status that is an error."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason


@dataclass
class Store:
    """The objects of the cluster, and what has happened to them since it started."""

    objects: dict[tuple[str, str], Object] = field(default_factory=dict)
    history: list[tuple[int, str, str, str]] = field(default_factory=list)  # version, resource, type, JSON
    version: int = 0
    forgotten: int = 0  # versions up to this one cannot be watched from any more
    changed: threading.Condition = field(default_factory=lambda: threading.Condition(threading.RLock()))

    def put(self, resource: str, item: Object, kind: str) -> None:
        with self.changed:
            self.version += 1
            item["metadata"]["resourceVersion"] = str(self.version)
            key = (resource, item["metadata"]["name"])
            if kind == "DELETED":
                self.objects.pop(key, None)
            else:
                self.objects[key] = item
            self.history.append((self.version, resource, kind, json.dumps(item)))
            self.changed.notify_all()

    def get(self, resource: str, name: str) -> Object:
        try:
            return self.objects[resource, name]
        except KeyError:
            raise Refusal(404, "NotFound", f'{resource} "{name}" not found') from None

    def of(self, resource: str, selector: str = "") -> list[Object]:
        wanted = dict(part.split("=", 1) for part in selector.split(",") if part)
        with self.changed:
            found = [item for (kind, _), item in self.objects.items() if kind == resource]
        return [one for one in found if wanted.items() <= (one["metadata"].get("labels") or {}).items()]


class Cluster:
    """The cluster: its objects, its controllers, and its one node."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.token = secrets.token_hex(16)
        self.store = Store()
        self.kubelet = Kubelet(folder, engine, self)
        self.forbidden: set[tuple[str, str]] = set()  # verb and resource
        self.requests: list[str] = []
        self.address = ""
        self.away = False  # every connection is closed without an answer
        self.closed = False
        self.queue_admits = True  # whether a Job that waits for Kueue is let in

    # -- what the API does --------------------------------------------------------------------------------------------

    def create(self, resource: str, item: Object) -> Object:
        with self.store.changed:
            name = item["metadata"]["name"]
            if (resource, name) in self.store.objects:
                raise Refusal(409, "AlreadyExists", f'{resource} "{name}" already exists')
            if resource == "secrets":
                size = sum(len(value) * 3 // 4 for value in item.get("data", {}).values())
                if size > _SECRET_BYTES:
                    raise Refusal(422, "Invalid", f"data: Too long: must have at most {_SECRET_BYTES} bytes")
            item["metadata"].update(uid=secrets.token_hex(16), namespace=NAMESPACE, creationTimestamp=_now())
            self.store.put(resource, item, "ADDED")
        if resource == "jobs":
            self._start(item)
        return item

    def patch(self, resource: str, name: str, change: Object) -> Object:
        with self.store.changed:
            item = json.loads(json.dumps(self.store.get(resource, name)))
            owners = change.get("metadata", {}).get("ownerReferences", [])
            there = item["metadata"].setdefault("ownerReferences", [])
            there += [one for one in owners if one["uid"] not in {other["uid"] for other in there}]
            item.get("spec", {}).update(change.get("spec", {}))
            self.store.put(resource, item, "MODIFIED")
        if resource == "jobs":
            self._start(item)
        return item

    def delete(self, resource: str, name: str, grace: float | None = None) -> None:
        item = self.store.get(resource, name)
        if resource == "pods":
            self.kubelet.end(item, grace)
            return
        self.store.put(resource, item, "DELETED")
        self._collect(item["metadata"]["uid"])

    def _collect(self, uid: str) -> None:
        """What nobody owns any more goes too."""
        with self.store.changed:
            owned = [
                (kind, item)
                for (kind, _), item in self.store.objects.items()
                if any(one["uid"] == uid for one in item["metadata"].get("ownerReferences", []))
            ]
        living = {item["metadata"]["uid"] for item in list(self.store.objects.values())}
        for kind, item in owned:
            if not any(one["uid"] in living for one in item["metadata"]["ownerReferences"]):
                with suppress(Refusal):
                    self.delete(kind, item["metadata"]["name"])

    # -- the Job controller -------------------------------------------------------------------------------------------

    def admit(self) -> None:
        """Kueue lets every Job in that waits for it."""
        self.queue_admits = True
        for job in self.store.of("jobs"):
            self.patch("jobs", job["metadata"]["name"], {"spec": {"suspend": False}})

    def _start(self, job: Object) -> None:
        if job["spec"].get("suspend"):
            if not self.queue_admits:
                return
            job["spec"]["suspend"] = False
        name = job["metadata"]["name"]
        if any(_owner(pod) == job["metadata"]["uid"] for pod in self.store.of("pods")):
            return
        indexed = job["spec"].get("completionMode") == "Indexed"
        for index in range(job["spec"].get("completions", 1)):
            template = json.loads(json.dumps(job["spec"]["template"]))
            meta = template.get("metadata", {})
            labels = {**meta.get("labels", {}), "batch.kubernetes.io/job-name": name}
            annotations = dict(meta.get("annotations", {}))
            if indexed:
                annotations["batch.kubernetes.io/job-completion-index"] = str(index)
                labels["batch.kubernetes.io/job-completion-index"] = str(index)
                template["spec"]["hostname"] = f"{name}-{index}"
            middle = f"-{index}" if indexed else ""
            pod = {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": f"{name}{middle}-{secrets.token_hex(3)[:5]}",
                    "labels": labels,
                    "annotations": annotations,
                    "ownerReferences": [{"kind": "Job", "name": name, "uid": job["metadata"]["uid"]}],
                },
                "spec": template["spec"],
                "status": {"phase": "Pending"},
            }
            self.create("pods", pod)
            self.kubelet.start(pod)

    def pod_ended(self, pod: Object) -> None:
        """A pod has come to its end: so has its Job, where it failed or was the last."""
        jobs = [job for job in self.store.of("jobs") if job["metadata"]["uid"] == _owner(pod)]
        if not jobs:
            return
        job = json.loads(json.dumps(jobs[0]))
        pods = [one for one in self.store.of("pods") if _owner(one) == job["metadata"]["uid"]]
        failed = pod["status"]["phase"] == "Failed"
        if not failed and not all(one["status"]["phase"] == "Succeeded" for one in pods):
            return
        kind, reason = ("Failed", "BackoffLimitExceeded") if failed else ("Complete", "CompletionsReached")
        job["status"] = {"conditions": [{"type": kind, "status": "True", "reason": reason}]}
        with self.store.changed:
            if ("jobs", job["metadata"]["name"]) in self.store.objects:
                self.store.put("jobs", job, "MODIFIED")
        for one in pods:
            if failed and one is not pod and one["status"]["phase"] in ("Pending", "Running"):
                self.kubelet.end(one, None)

    # -- what tests do to it ------------------------------------------------------------------------------------------

    def pod_of(self, name: str, index: int = 0) -> Object:
        """The pod of a Job."""
        mine = [
            pod
            for pod in self.store.of("pods", f"batch.kubernetes.io/job-name={name}")
            if pod["metadata"]["annotations"].get("batch.kubernetes.io/job-completion-index", "0") == str(index)
        ]
        return mine[0]

    def forget_history(self) -> None:
        """Every watch has to list anew, as after a compaction."""
        with self.store.changed:
            self.store.forgotten = self.store.version
            self.store.changed.notify_all()

    def kubeconfig(self, path: Path, token: str = "") -> Path:
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "rig",
            "clusters": [{"name": "rig", "cluster": {"server": self.address}}],
            "users": [{"name": "rig", "user": {"token": token or self.token}}],
            "contexts": [{"name": "rig", "context": {"cluster": "rig", "user": "rig", "namespace": NAMESPACE}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path


def _owner(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or [{"uid": ""}]
    return str(owners[0]["uid"])


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(lambda place: self._send(201, self.cluster.create(place.resource, self._body())))

    def do_PATCH(self) -> None:
        self._answer(lambda place: self._send(200, self.cluster.patch(place.resource, place.name, self._body())))

    def do_DELETE(self) -> None:
        self._answer(self._delete)

    def _answer(self, handle: Callable[[_Place], None]) -> None:
        if self.cluster.away:
            self.close_connection = True
            return
        self.cluster.requests.append(f"{self.command} {self.path}")
        try:
            if self.headers.get("Authorization") != f"Bearer {self.cluster.token}":
                raise Refusal(401, "Unauthorized", "Unauthorized")
            place = _Place.of(self.path)
            verb = {"POST": "create", "PATCH": "patch", "DELETE": "delete"}.get(self.command, place.verb)
            if (verb, place.resource) in self.cluster.forbidden:
                what = f'{place.resource} is forbidden: User "rig" cannot {verb} resource "{place.resource}"'
                raise Refusal(403, "Forbidden", what)
            handle(place)
        except Refusal as refusal:
            self._body()
            status = {"kind": "Status", "code": refusal.code, "reason": refusal.reason, "message": str(refusal)}
            self._send(refusal.code, status)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def _get(self, place: _Place) -> None:
        store = self.cluster.store
        if place.part == "log":
            self._stream(self.cluster.kubelet.log(store.get("pods", place.name), "follow" in place.query))
        elif place.name:
            self._send(200, store.get(place.resource, place.name))
        elif "watch" in place.query:
            self._stream(self._watched(place))
        else:
            items = store.of(place.resource, place.query.get("labelSelector", ""))
            self._send(200, {"metadata": {"resourceVersion": str(store.version)}, "items": items})

    def _watched(self, place: _Place) -> Generator[bytes, None, None]:
        store = self.cluster.store
        seen = int(place.query["resourceVersion"])
        wanted = dict(part.split("=", 1) for part in place.query.get("labelSelector", "").split(",") if part)
        ends = time.monotonic() + float(place.query.get("timeoutSeconds", 60))
        while time.monotonic() < ends and not self.cluster.away:
            with store.changed:
                if seen < store.forgotten:
                    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
                    yield json.dumps({"type": "ERROR", "object": gone}).encode() + b"\n"
                    return
                news = [entry for entry in store.history if entry[0] > seen and entry[1] == place.resource]
                if not news:
                    seen = max(seen, store.version)
                    store.changed.wait(0.5)
                    continue
            for version, _, kind, text in news:
                item = json.loads(text)
                if wanted.items() <= (item["metadata"].get("labels") or {}).items():
                    yield json.dumps({"type": kind, "object": item}).encode() + b"\n"
                seen = version

    def _delete(self, place: _Place) -> None:
        options = self._body() or {}
        self.cluster.delete(place.resource, place.name, options.get("gracePeriodSeconds"))
        self._send(200, {"kind": "Status", "status": "Success"})

    def _body(self) -> Any:
        size = int(self.headers.get("Content-Length") or 0)
        self.headers.replace_header("Content-Length", "0") if size else None
        return json.loads(self.rfile.read(size)) if size else None

    def _send(self, code: int, document: Object) -> None:
        body = json.dumps(document).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, pieces: Generator[bytes, None, None]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        with closing(pieces):
            for piece in pieces:
                if self.cluster.away:
                    self.close_connection = True
                    return
                if piece:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


@dataclass(frozen=True)
class _Place:
    """What a path names."""

    resource: str
    name: str = ""
    part: str = ""
    query: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, path: str) -> _Place:
        split = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        parts = split.path.strip("/").split("/")
        try:
            at = parts.index("namespaces")
            namespace, resource, *rest = parts[at + 1 :]
        except ValueError:
            raise Refusal(404, "NotFound", f"the server could not find {path}") from None
        if namespace != NAMESPACE or resource not in _API or "/".join(parts[1:at]) != _API[resource][0]:
            raise Refusal(404, "NotFound", f"the server could not find {path}")
        return cls(resource, *rest, query=query)

    @property
    def verb(self) -> str:
        return "get" if self.name else "watch" if "watch" in self.query else "list"


@contextmanager
def serve(folder: Path, engine: str) -> Iterator[Cluster]:
    """A cluster with its files in `folder`, until the block ends; then its containers are removed."""
    cluster = Cluster(folder, engine)
    handler = type("Handler", (_Handler,), {"cluster": cluster})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    cluster.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield cluster
    finally:
        cluster.away = cluster.closed = True
        server.shutdown()
        server.server_close()
        cluster.kubelet.close()
