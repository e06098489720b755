"""A Prefect server that pods of the lab reach, and the real Prefect worker of a kubernetes pool."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ebbtide.flows.prefect_server.api import Api, basic
from ebbtide.flows.prefect_server.server import QUIET
from tests.flows.flow_runs import call
from tests.helpers import wait_until
from tests.kubernetes.lab.place import NODE

POOL = "lab"
_AUTH = "tests:of the lab alone"
_TIMEOUT_S = 240
_HERE = {
    "nodeSelector": {"kubernetes.io/hostname": NODE},
    "tolerations": [{"operator": "Exists"}],
}
"""On a real cluster these pods' node is of no pool that goes to zero; here there is only one."""
_ORDINARY = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
_HARMLESS = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
FILES = "/work"
"""Where pods of users' flows have the files of a ConfigMap."""


class Prefect:
    """A server, the processes that belong to it, and what it knows."""

    def __init__(self, address: str, folder: Path, kubeconfig: str):
        with socket.socket() as free:
            free.bind((address, 0))
            self.port = free.getsockname()[1]
        self._address, self._folder = address, folder
        self._usual: dict[str, Any] = {}
        url = f"http://{address}:{self.port}/api"
        self.api = Api(url, basic(_AUTH))
        self.client = {"PREFECT_API_URL": url, "PREFECT_API_AUTH_STRING": _AUTH}
        """The variables of whoever uses it."""
        kept = {key: text for key, text in os.environ.items() if not key.startswith("PREFECT")}
        self._variables = {
            **kept,
            **QUIET,
            "PREFECT_HOME": str(folder),
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "PREFECT_WORKER_HEARTBEAT_SECONDS": "5",
            "KUBECONFIG": kubeconfig,
        }

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """The server, for as long as the block lasts."""
        where = ["--host", self._address, "--port", str(self.port)]
        secret = {"PREFECT_SERVER_API_AUTH_STRING": _AUTH}
        with self._process("server", ["server", "start", *where], secret):
            wait_until(self._answers, _TIMEOUT_S, "Prefect's server answers")
            yield

    @contextlib.contextmanager
    def worker(self) -> Iterator[None]:
        """A Prefect worker of the pool, beside the lab, with the administrator's rights."""
        words = ["worker", "start", "--type", "kubernetes", "--pool", POOL]
        with self._process("worker", words, self.client):
            wait_until(lambda: self.pool()["status"] == "READY", _TIMEOUT_S, "it lives")
            written = "it has written its base job template into the pool, which had none"
            self._usual = wait_until(
                lambda: dict(self.pool()["base_job_template"]), _TIMEOUT_S, written
            )
            yield

    @contextlib.contextmanager
    def _process(self, name: str, words: list[str], more: dict[str, str]) -> Iterator[None]:
        with (self._folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "prefect", *words],
                env={**self._variables, **more},
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            self.api.call("health", timeout_s=2)
            return True
        return False

    def create_pool(self) -> None:
        """What ``prefect work-pool create`` does."""
        call(self.api, "work_pools/", {"name": POOL, "type": "kubernetes", "base_job_template": {}})

    def give_template(self, printed: str) -> None:
        """What ``prefect work-pool update --base-job-template`` does with a template of ebb's."""
        jobs = json.loads(printed)
        jobs["job_configuration"]["job_manifest"]["spec"]["template"]["spec"] |= _HERE
        self.change_pool(base_job_template=jobs)

    def take_flows_of_users(self, namespace: str, image: str, files: str) -> None:
        """Write Prefect's own template into the pool, changed as docs/kubernetes.md says.

        Args:
            namespace: of the flows' pods; it refuses privileges.
            image: with Prefect, ebb and what the flows import.
            files: the ConfigMap of which their pods have the files, in ``FILES``.
        """
        jobs = copy.deepcopy(self._usual)
        defaults = {
            "namespace": namespace,
            "image": image,
            "image_pull_policy": "Never",
            "service_account_name": "ebb-flow",
            "env": {"EBB_PLATFORM": "kubernetes"},
        }
        for name, value in defaults.items():
            jobs["variables"]["properties"][name]["default"] = value
        pod = jobs["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
        volume = {"name": "files", "configMap": {"name": files}}
        pod |= {**_HERE, "securityContext": _ORDINARY, "volumes": [volume]}
        (container,) = pod["containers"]
        container["securityContext"] = _HARMLESS
        container["volumeMounts"] = [{"name": "files", "mountPath": FILES}]
        self.change_pool(base_job_template=jobs)

    def deploy(self, file: Path, name: str) -> str:
        """Deploy what a file says of one deployment, to the pool, as a user does; gives its id."""
        words = ["--no-prompt", "deploy", "--prefect-file", file.name, "--name", name]
        pool = {"PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME": POOL}
        done = subprocess.run(
            [sys.executable, "-m", "prefect", *words],
            cwd=file.parent,
            env={**self._variables, **self.client, **pool},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = call(self.api, "deployments/filter", {"deployments": {"name": {"any_": [name]}}})
        (deployment,) = found
        return str(deployment["id"])

    def begin(self, deployment: str, name: str) -> None:
        """Begin a flow run of a deployment, as the UI's button does, under a name."""
        call(self.api, f"deployments/{deployment}/create_flow_run", {"name": name})

    def change_pool(self, **changes: Any) -> None:
        """As an administrator does."""
        call(self.api, f"work_pools/{POOL}", changes, "PATCH")

    def pool(self) -> dict[str, Any]:
        """What it is now."""
        return dict(call(self.api, f"work_pools/{POOL}", method="GET"))

    def flow_run(self, name: str) -> dict[str, Any]:
        """The one of a run."""
        asked = {"flow_runs": {"name": {"any_": [name]}}}
        (found,) = call(self.api, "flow_runs/filter", asked)
        return dict(found)

    def tasks(self, name: str) -> set[str]:
        """The names of a run's tasks that are completed."""
        asked = {"flow_runs": {"name": {"any_": [name]}}}
        found = call(self.api, "task_runs/filter", asked)
        return {task["name"] for task in found if task["state_name"] == "Completed"}

    def logs(self, name: str) -> str:
        """All that Prefect has of what a run said."""
        asked = {"logs": {"flow_run_id": {"any_": [self.flow_run(name)["id"]]}}}
        return "\n".join(log["message"] for log in call(self.api, "logs/filter", asked))

    def cancel(self, name: str) -> None:
        """As the UI's button does."""
        state = {"type": "CANCELLING", "name": "Cancelling"}
        path = f"flow_runs/{self.flow_run(name)['id']}/set_state"
        call(self.api, path, {"state": state})
