"""A Ray node as a process that drains when told: ``python -m infra.frameworks.ray.worker JSON``.

The drain is Ray's own (since 2.60): on SIGTERM the node is marked as draining, takes no new leases,
ends its running tasks, and its raylet leaves once it is idle, which it is not while it keeps an
object that is needed. Workers with actors or such objects are therefore never asked to leave.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ray._private.node import Node
from ray._private.parameter import RayParams

_LONGEST_PAUSE_S = 0.1
_LOOK_EVERY_S = 0.5


def head_address(folder: Path, timeout_s: float) -> str:
    """The GCS's address, once the head has published it.

    Raises:
        TimeoutError: when there is none in time.
    """
    deadline, tick = time.monotonic() + timeout_s, threading.Event()
    while not (folder / "head.json").exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no head within {timeout_s:.0f} s")
        tick.wait(_LONGEST_PAUSE_S)
    return str(json.loads((folder / "head.json").read_text())["address"])


def start_node(settings: dict[str, Any], address: str) -> Node:
    """A raylet and its agents, on loopback and on free ports."""
    params = RayParams(
        node_ip_address="127.0.0.1",
        gcs_address=address,
        num_cpus=settings["num_cpus"],
        num_gpus=0,
        memory=settings["memory_bytes"],
        object_store_memory=settings["object_store_bytes"],
        object_spilling_directory=str(Path(settings["folder"]) / "spill"),
        temp_dir=settings["temp_dir"],
        include_log_monitor=True,  # what tasks print is shown by the driver
        min_worker_port=0,
        max_worker_port=0,
    )
    return Node(params, head=False, shutdown_at_exit=True, spawn_reaper=False)


def main(settings: dict[str, Any]) -> int:
    """Serve until drained (Ray's handler of SIGTERM ends this process) or until a part dies."""
    folder = Path(settings["folder"])
    address = head_address(folder, settings["head_timeout_s"])
    os.environ["PYTHONPATH"] = settings["import_path"]  # for tasks: users' modules
    Path(settings["temp_dir"]).mkdir(exist_ok=True)
    # One after another: a raylet gives up when its agents are not up within 15 s, and several
    # that start at once on one machine make each other late.
    with (folder / "starting").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        node = start_node(settings, address)
    tick = threading.Event()
    while not node.dead_processes():
        tick.wait(_LOOK_EVERY_S)
    return 1


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
