"""The one node of `tests.rig.kubernetes_api`: it runs pods as containers of the local engine."""

from __future__ import annotations

import base64
import shutil
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import APIError, NotFound
from docker.types import Mount

from toolkit.targets.settings import size_in_bytes

if TYPE_CHECKING:
    from tests.rig.kubernetes_api import Cluster

LABEL = "toolkit-rig.cluster"


class Kubelet:
    """Starts and ends the containers of pods, and tells the cluster what becomes of them."""

    def __init__(self, folder: Path, engine: str, cluster: Cluster) -> None:
        self.folder = folder
        self.cluster = cluster
        self.client = docker.DockerClient(base_url=engine, version="auto", timeout=600, max_pool_size=400)
        self.readers: dict[str, int] = {}
        self.holds_pods = False  # new pods stay pending
        self.cannot_pull = ""  # why no image can be pulled
        self.ends_as: dict[str, dict[str, Any]] = {}  # what becomes of a pod's status when it ends, by name
        self._networks: set[str] = set()
        self._lock = threading.Lock()

    def start(self, pod: dict[str, Any]) -> None:
        threading.Thread(target=self._life, args=(pod["metadata"]["name"],), daemon=True).start()

    # -- the life of a pod --------------------------------------------------------------------------------------------

    def _life(self, name: str) -> None:
        container = None
        try:
            container = self._begin(name)
            if container is not None:
                code = container.wait()["StatusCode"]
                state = self.client.api.inspect_container(container.id)["State"]
                self._ended(name, code, bool(state["OOMKilled"]))
        except (APIError, NotFound, OSError) as error:
            if not self.cluster.closed:
                self._ended(name, 128, False, str(error))
        pod = self._pod(name)
        while pod is not None and not self.cluster.closed:  # it stays until it is deleted
            if pod["metadata"].get("deletionTimestamp"):
                self._wait_for_readers(name)
                if container is not None:
                    with suppress(APIError):
                        container.remove(force=True)
                self.cluster.store.put("pods", pod, "DELETED")
                return
            time.sleep(0.05)
            pod = self._pod(name)

    def _begin(self, name: str) -> Any:
        """The started container of a pod; None where it was deleted before."""
        while not self.cluster.closed:
            pod = self._pod(name)
            if pod is None:
                return None
            if pod["metadata"].get("deletionTimestamp"):
                self.cluster.store.put("pods", pod, "DELETED")
                return None
            if self.holds_pods:
                words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
                condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}
                self._set(pod, {"phase": "Pending", "conditions": [condition]})
            elif self.cannot_pull:
                self._waiting(pod, "ImagePullBackOff", self.cannot_pull)
            elif self._lacks(pod):
                self._waiting(pod, "ContainerCreating", "")
            else:
                container = self._container(pod)
                container.start()
                status = [{"name": "run", "state": {"running": {}}}]
                self._set(pod, {"phase": "Running", "containerStatuses": status})
                return container
            time.sleep(0.02)
        return None

    def _waiting(self, pod: dict[str, Any], reason: str, message: str) -> None:
        waiting = {"reason": reason, **({"message": message} if message else {})}
        self._set(pod, {"phase": "Pending", "containerStatuses": [{"name": "run", "state": {"waiting": waiting}}]})

    def _ended(self, name: str, code: int, out_of_memory: bool, message: str = "") -> None:
        pod = self._pod(name)
        if pod is None:
            return
        reason = "OOMKilled" if out_of_memory else "StartError" if message else "Error" if code else "Completed"
        terminated = {"exitCode": code, "reason": reason, **({"message": message} if message else {})}
        phase = "Failed" if code else "Succeeded"
        status = {"phase": phase, "containerStatuses": [{"name": "run", "state": {"terminated": terminated}}]}
        self._set(pod, {**status, **self.ends_as.get(name, {})})
        self.cluster.pod_ended(pod)

    def _set(self, pod: dict[str, Any], status: dict[str, Any]) -> None:
        with self.cluster.store.changed:
            now = self._pod(pod["metadata"]["name"])
            if now is None or now["status"] == status:
                return
            now["status"] = pod["status"] = status
            self.cluster.store.put("pods", now, "MODIFIED")

    def _pod(self, name: str) -> dict[str, Any] | None:
        return self.cluster.store.objects.get(("pods", name))

    def end(self, pod: dict[str, Any], grace: float | None) -> None:
        """The pod is deleted: TERM, and KILL after its grace."""
        with self.cluster.store.changed:
            first = not pod["metadata"].get("deletionTimestamp")
            pod["metadata"]["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            if first:
                self.cluster.store.put("pods", pod, "MODIFIED")
        seconds = pod["spec"]["terminationGracePeriodSeconds"] if grace is None else grace
        if first or grace == 0:
            threading.Thread(target=self._stop, args=(pod["metadata"]["name"], int(seconds)), daemon=True).start()

    def _stop(self, name: str, seconds: int) -> None:
        with suppress(APIError):
            self.client.api.stop(name, timeout=seconds)

    # -- its container ------------------------------------------------------------------------------------------------

    def _lacks(self, pod: dict[str, Any]) -> bool:
        return any(
            ("secrets", one["secret"]["name"]) not in self.cluster.store.objects
            for volume in pod["spec"]["volumes"]
            for one in volume.get("projected", {}).get("sources", [])
        )

    def _container(self, pod: dict[str, Any]) -> Any:
        spec, name = pod["spec"], pod["metadata"]["name"]
        (run,) = spec["containers"]
        rules = spec["securityContext"]
        memory = run["resources"].get("limits", {}).get("memory")
        asked: dict[str, Any] = {
            "image": run["image"],
            "entrypoint": run["command"],
            "name": name,
            "labels": {LABEL: self.cluster.address},
            "environment": {one["name"]: self._value(one, pod) for one in run.get("env", [])},
            "user": f"{rules['runAsUser']}:{rules['runAsGroup']}",
            "cap_drop": run["securityContext"]["capabilities"]["drop"],
            "security_opt": ["no-new-privileges:true"],
            "mounts": self._mounts(pod),
        }
        if memory:
            asked["mem_limit"] = asked["memswap_limit"] = size_in_bytes(memory)
        shm = [one["emptyDir"] for one in spec["volumes"] if one.get("emptyDir", {}).get("medium") == "Memory"]
        if shm:
            asked["shm_size"] = size_in_bytes(shm[0]["sizeLimit"])
        if spec.get("subdomain"):
            network = self._network(spec["subdomain"])
            aliases = [f"{spec['hostname']}.{spec['subdomain']}"]
            asked["hostname"] = spec["hostname"]
            asked["network"] = network
            asked["networking_config"] = {network: self.client.api.create_endpoint_config(aliases=aliases)}
        return self.client.containers.create(**asked)

    def _value(self, variable: dict[str, Any], pod: dict[str, Any]) -> str:
        if "value" in variable:
            return str(variable["value"])
        path = variable["valueFrom"]["fieldRef"]["fieldPath"]
        return str(pod["metadata"]["annotations"][path.split("'")[1]])

    def _network(self, name: str) -> str:
        with self._lock:
            if name not in self._networks:
                self.client.networks.create(name, labels={LABEL: self.cluster.address})
                self._networks.add(name)
        return name

    def _mounts(self, pod: dict[str, Any]) -> list[Mount]:
        volumes = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        made = []
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            volume = volumes[mount["name"]]
            if volume.get("emptyDir", {}).get("medium") == "Memory":
                continue
            folder = self.folder / pod["metadata"]["name"] / mount["name"]
            if "persistentVolumeClaim" in volume:
                folder = self.folder / "claims" / volume["persistentVolumeClaim"]["claimName"]
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
            for one in volume.get("projected", {}).get("sources", []):
                secret = self.cluster.store.get("secrets", one["secret"]["name"])
                for key, value in secret["data"].items():
                    (folder / key).write_bytes(base64.b64decode(value))
                    (folder / key).chmod(0o444)
            made.append(Mount(mount["mountPath"], str(folder), type="bind", read_only=bool(mount.get("readOnly"))))
        return made

    # -- its log ------------------------------------------------------------------------------------------------------

    def log(self, pod: dict[str, Any], follow: bool) -> Generator[bytes, None, None]:
        from tests.rig.kubernetes_api import Refusal

        name = pod["metadata"]["name"]
        state = (pod["status"].get("containerStatuses") or [{"state": {}}])[0]["state"]
        if "running" not in state and "terminated" not in state:
            raise Refusal(400, "BadRequest", f'container "run" in pod "{name}" is waiting to start: ContainerCreating')
        self.readers[name] = self.readers.get(name, 0) + 1
        return self._pieces(name, follow)

    def _pieces(self, name: str, follow: bool) -> Generator[bytes, None, None]:
        api = self.client.api
        asked = {"stdout": 1, "stderr": 1, "follow": int(follow)}
        # As `api.logs` does, which leaves the connection open when somebody stops to read.
        response = api._get(api._url("/containers/{0}/logs", name), params=asked, stream=True)
        try:
            if response.status_code == 200:
                yield from api._multiplexed_response_stream_helper(response)
        finally:
            response.close()
            self.readers[name] -= 1

    def _wait_for_readers(self, name: str) -> None:
        deadline = time.monotonic() + 20
        while self.readers.get(name) and time.monotonic() < deadline:
            time.sleep(0.02)

    def kill(self, pod: dict[str, Any]) -> None:
        """kill -9 of all that is in a pod."""
        self.client.api.kill(pod["metadata"]["name"])

    def running(self) -> list[Any]:
        return [one for one in self.containers() if one.status == "running"]

    def containers(self) -> list[Any]:
        found: list[Any] = self.client.containers.list(
            all=True, filters={"label": f"{LABEL}={self.cluster.address}"}, ignore_removed=True
        )
        return found

    def close(self) -> None:
        for container in self.containers():
            with suppress(APIError):
                container.remove(force=True)
        for network in self.client.networks.list(filters={"label": f"{LABEL}={self.cluster.address}"}):
            network.remove()
        self.client.close()
        shutil.rmtree(self.folder, ignore_errors=True)
