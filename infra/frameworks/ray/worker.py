"""A Ray node as a process that leaves when told; its argument is its settings as JSON.

It leaves as Ray's own autoscaler takes nodes away: the raylet is asked to go because it is idle,
and refuses while it runs or keeps something; then it is asked again. Ray's other drain (what its
own handler of SIGTERM asks for) loses results: a raylet that drains while a task runs counts as
idle when the task ends, a tenth of a second before it counts the result it stores (2.60).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from ray._private.parameter import RayParams
from ray.autoscaler.v2.sdk import get_cluster_status
from ray.core.generated import autoscaler_pb2

from ebbtide.infra.frameworks.ray import task_process
from ebbtide.infra.frameworks.ray.node import KeptLogsNode
from ebbtide.infra.frameworks.workers import told_to_leave, wait_for_head
from ebbtide.infra.processes.environment import held_back

_LOOK_EVERY_S = 0.5
_IDLE_MS = 1000
"""Idle for less, and what the last task stored may not be counted yet (Ray does every 100 ms)."""
_ASK_TIMEOUT_S = 5


def start_node(settings: dict[str, Any], address: str) -> KeptLogsNode:
    """A raylet and its agents, on free ports."""
    params = RayParams(
        node_ip_address=settings["host"],
        gcs_address=address,
        num_cpus=settings["num_cpus"],
        num_gpus=0,
        memory=settings["memory_bytes"],
        object_store_memory=settings["object_store_bytes"],
        object_spilling_directory=str(Path(settings["scratch"]) / "spill"),
        temp_dir=settings["temp_dir"],
        worker_path=task_process.__file__ if held_back(os.environ) else None,  # None: Ray's own
        include_log_monitor=True,  # what tasks print is shown by the driver
        min_worker_port=0,
        max_worker_port=0,
    )
    # No shutdown_at_exit: it would set Ray's handler of SIGTERM, see above.
    logs = Path(settings["artifacts"]) / settings["name"]
    return KeptLogsNode(params, logs, head=False, shutdown_at_exit=False)


def leave_when_idle(node: KeptLogsNode) -> None:
    """Ask the raylet to go if it has been idle for a while; once it says yes, it ends itself."""
    status = get_cluster_status(node.gcs_address, timeout=_ASK_TIMEOUT_S)
    idle_ms = {idle.node_id: idle.resource_usage.idle_time_ms for idle in status.idle_nodes}
    if idle_ms.get(node.node_id, 0) >= _IDLE_MS:
        node.get_gcs_client().drain_node(
            node.node_id,
            autoscaler_pb2.DrainNodeReason.DRAIN_NODE_REASON_IDLE_TERMINATION,
            "the cluster shrinks",
            0,
            timeout=_ASK_TIMEOUT_S,
        )


def serve(node: KeptLogsNode, told: threading.Event) -> int:
    """Until a part of the node ends: 0 when it was told to leave."""
    tick = threading.Event()
    while not node.dead_processes():
        if told.is_set():
            with contextlib.suppress(Exception):  # Ray's many kinds of "try again"
                leave_when_idle(node)
        tick.wait(_LOOK_EVERY_S)
    return 0 if told.is_set() else 1


def main(settings: dict[str, Any]) -> int:
    """Serve until told to leave and idle, or until a part dies."""
    told = told_to_leave()
    head = wait_for_head(Path(settings["head_file"]), settings["head_wait_s"], told)
    if head is None:
        return 0 if told.is_set() else 1
    os.environ["PYTHONPATH"] = settings["import_path"]  # for tasks: users' modules
    Path(settings["temp_dir"]).mkdir(exist_ok=True)
    (Path(settings["scratch"]) / "spill").mkdir(exist_ok=True)
    # One after another: a raylet gives up when its agents are not up within 15 s, and several
    # that start at once on one machine make each other late.
    with (Path(settings["scratch"]) / "starting").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if told.is_set():
            return 0
        node = start_node(settings, head["address"])
    try:
        return serve(node, told)
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
