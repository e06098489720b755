"""Logs of workers that left or died, read from a real kubelet: each line once, to the end."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import POD, Object
from ebbtide.infra.platforms.kubernetes.naming import ROLE
from ebbtide.infra.platforms.kubernetes.reading.snapshot import WORKER, Snapshot, worker_names
from ebbtide.infra.platforms.kubernetes.tending.logs.copy import restarts
from ebbtide.infra.platforms.kubernetes.tending.logs.member_logs import MemberLogs
from tests.helpers import wait_until
from tests.kubernetes import workloads
from tests.kubernetes.lab import faults
from tests.kubernetes.lab.place import Lab

MAY_GO = "/tmp/once/go"
PRINTS = "say() { i=0; while [ $i -lt $2 ]; do echo $1 $i; i=$((i+1)); done; }"
LEAVES = f"""{PRINTS}
drain() {{
  i=0
  while [ ! -f {MAY_GO} ]; do echo drains $i; sleep 0.25; i=$((i+1)); done
  echo gone; exit 0
}}
trap drain TERM
say works 2000
while :; do sleep 0.1; done
"""
DIES = f"""{PRINTS}
if mkdir /tmp/once/before 2>/dev/null; then say before 2000; echo died; exit 3; fi
say after 500
exec sleep 600
"""


def worker(name: str, script: str) -> Object:
    """A pod as a cluster's worker, of which only the log is of interest."""
    container = {
        "name": WORKER,
        "image": workloads.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
        "volumeMounts": [{"name": "once", "mountPath": "/tmp/once"}],
    }
    spec = {
        "containers": [container],
        "volumes": [{"name": "once", "emptyDir": {}}],
        "terminationGracePeriodSeconds": 120,
        "automountServiceAccountToken": False,
    }
    metadata, spec = {"name": name, "labels": {ROLE: WORKER}}, workloads.harmless(spec)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


class Looks:
    """Looks at the pods as a tender does."""

    def __init__(self, api: Api, folder: Path):
        self._api, self.folder = api, folder
        self.told: list[str] = []
        self.logs = MemberLogs(api, folder, self.told.append)
        self.names: dict[str, str] = {}

    def look(self) -> dict[str, Object]:
        """Once; what the API server does not tell is seen by the next look."""
        try:
            pods = self._api.list(POD, {ROLE: WORKER}, patience_s=0.5).items
        except ApiError:
            return {"?": {}}
        self.names = worker_names(tuple(pods), self.names)
        self._last = Snapshot(
            cluster=ClusterId("logs-1"), now=0.0, lease={"metadata": {}}, pods=tuple(pods)
        )
        self.logs.tick(self._last, self.names)
        return {pod["metadata"]["name"]: pod for pod in pods}

    def collect(self) -> None:
        """As before a release."""
        self.logs.collect(self._last, self.names)

    def log(self, pod: str) -> list[str]:
        """What is kept of it."""
        path = self.folder / f"{self.names[pod]}.log"
        return path.read_text().splitlines() if path.exists() else []


def counted(word: str, count: int) -> list[str]:
    return [f"{word} {number}" for number in range(count)]


def test_logs_of_workers_that_left_and_died_are_whole_also_over_an_outage(
    lab: Lab, here: Api, tmp_path: Path
) -> None:
    here.create(worker("leaves", LEAVES))
    here.create(worker("dies", DIES))
    looks = Looks(here, tmp_path)
    wait_until(lambda: restarts(looks.look().get("dies") or {}) == 1, 60, "one is started again")
    here.delete(POD, "leaves")
    wait_until(lambda: looks.look() and "drains 4" in looks.log("leaves"), 60, "it is followed")
    with faults.refused(lab):
        wait_until(lambda: looks.look() == {"?": {}}, 30, "the API server is away")
    before = len(looks.log("leaves"))
    wait_until(lambda: len(looks.log("leaves")) > before, 60, "it is followed again")
    with here.run("leaves", WORKER, ["touch", MAY_GO]) as command:
        wait_until(lambda: command.read(1.0) is None, 30, "it may go")
    wait_until(lambda: "leaves" not in looks.look(), 60, "it has left")
    looks.collect()
    here.delete(POD, "dies", grace_s=1)  # its shell is deaf, and it would keep the node for others
    drained = looks.log("leaves")[2000:-1]
    assert looks.log("leaves") == [
        *counted("works", 2000),
        *counted("drains", len(drained)),
        "gone",
    ]
    assert looks.log("dies") == [*counted("before", 2000), "died", *counted("after", 500)]
    assert looks.told == []
