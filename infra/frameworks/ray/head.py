"""Ray's head node as a process: ``python -m ebbtide.infra.frameworks.ray.head SETTINGS-JSON``.

It starts what ``ray start --head --block`` starts, says when the GCS answers, and tells over HTTP
what the autoscaler wants to know. ``ray.init`` and ``ray start`` make nodes by the same class.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._private.state import GlobalState
from ray._raylet import GcsClientOptions  # type: ignore[attr-defined]
from ray.autoscaler.v2.sdk import get_cluster_status

from ebbtide.infra.frameworks import heads
from ebbtide.infra.frameworks.door import Door, read_secret
from ebbtide.infra.frameworks.front import Front, Page

_LOOK_EVERY_S = 0.5
_ASK_TIMEOUT_S = 5
_MIN_MEMORY_BYTES = 200 * 2**20
_IDLE, _BUSY, _STORE = "IDLE", "Busy workers", "object_store_memory"
"""Words in Ray's own list of why a node is not idle (2.60, autoscaler.proto, node_activity)."""


class Watcher:
    """Asks the GCS twice a second and remembers the answer."""

    def __init__(self, address: str):
        self._address = address
        self._state = GlobalState()
        self._state._initialize_global_state(
            GcsClientOptions.create(
                address, None, allow_cluster_id_nil=True, fetch_cluster_id_if_nil=False
            )
        )
        self.answer: dict[str, Any] = {"workers": {}, "running": 0, "queued": 0}

    def look(self) -> None:
        """Once."""
        status = get_cluster_status(self._address, timeout=_ASK_TIMEOUT_S)
        homes = {
            actor["Address"]["NodeID"]
            for actor in self._state.actor_table(None).values()
            if actor["State"] == "ALIVE"
        }
        nodes = [node for node in (*status.active_nodes, *status.idle_nodes) if node.instance_id]
        workers = {node.instance_id: _worker(node, node.node_id in homes) for node in nodes}
        demands = status.resource_demands.ray_task_actor_demand
        self.answer = {
            "workers": workers,
            "running": sum(worker["running"] for worker in workers.values()),
            "queued": sum(each.count for demand in demands for each in demand.bundles_by_count),
        }


def _worker(node: Any, has_actor: bool) -> dict[str, Any]:
    idle = str(node.node_status) == _IDLE
    # An idle node's list of activities is the one it had when it was last busy (2.60).
    activity, used = "" if idle else " ".join(node.node_activity or ()), node.used_resources()
    cores = round(used.get("CPU", 0.0))
    stored = int(used.get(_STORE, 0))
    running = max(cores, int(_BUSY in activity and not has_actor))
    return {
        "running": running,
        "queued": 0,
        "stored_bytes": stored,
        "leaving": "DRAIN" in str(node.node_status),
        "stays_because": _why_it_stays(has_actor, _STORE in activity, running),
    }


def _why_it_stays(has_actor: bool, keeps: bool, running: int) -> str:
    if has_actor:
        return "it holds an actor"
    if keeps:
        return "it keeps objects that are needed"
    return "it runs tasks whose results would be kept there" if running else ""


def start_node(settings: dict[str, Any]) -> Node:
    """GCS, dashboard and a raylet without CPUs; all but the GCS on free ports."""
    params = RayParams(
        node_ip_address=settings["host"],
        gcs_server_port=settings["port"],
        num_cpus=0,
        num_gpus=0,
        memory=_MIN_MEMORY_BYTES,
        object_store_memory=settings["object_store_bytes"],
        object_spilling_directory=str(Path(settings["scratch"]) / "spill"),
        include_dashboard=True,
        dashboard_host=settings["bind"],
        dashboard_port=None,  # its usual one, or the next that is free
        temp_dir=settings["temp_dir"],
        include_log_monitor=False,
        no_monitor=True,  # Ray's own autoscaler
        min_worker_port=0,
        max_worker_port=0,
    )
    return Node(params, head=True, shutdown_at_exit=True, spawn_reaper=False)


def main(settings: dict[str, Any]) -> int:
    """Serve until ended."""
    os.environ["PYTHONPATH"] = settings["import_path"]  # tasks that need no CPU may run here
    Path(settings["temp_dir"]).mkdir(exist_ok=True)
    (Path(settings["scratch"]) / "spill").mkdir(exist_ok=True)
    node = start_node(settings)
    watcher = Watcher(node.gcs_address)
    watcher.look()
    door = Door(read_secret(Path(settings["secrets"])), settings["page_hosts"])
    front = Front(door, settings["bind"], settings["page_port"])
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
    host, port = settings["host"], int(node.webui_url.rpartition(":")[2])
    page = Page(host=host, port=port, authorization=f"Bearer {token}")
    front.serve(lambda: watcher.answer, page)
    url = f"http://{host}:{front.port}"
    heads.publish(Path(settings["head_file"]), address=node.gcs_address, front=url)
    tick = threading.Event()
    while not node.dead_processes():
        with contextlib.suppress(Exception):  # Ray's many kinds of "try again"
            watcher.look()
        tick.wait(_LOOK_EVERY_S)
    return 1


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
