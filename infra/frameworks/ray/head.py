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
import time
from pathlib import Path
from typing import Any

from ray._private.parameter import RayParams

from ebbtide.infra.frameworks import heads
from ebbtide.infra.frameworks.door import Door, read_secret
from ebbtide.infra.frameworks.front import Front, Page
from ebbtide.infra.frameworks.ray.demand.watcher import Watcher
from ebbtide.infra.frameworks.ray.node import HeadNode
from ebbtide.infra.frameworks.ready import serve_ready

_IMPORTED_AT = time.time()
_LOOK_EVERY_S = 0.5
_MIN_MEMORY_BYTES = 200 * 2**20


def start_node(settings: dict[str, Any]) -> HeadNode:
    """GCS and a raylet without CPUs, and a dashboard on its way; all but the GCS on free ports."""
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
    logs = Path(settings["artifacts"]) / "head"
    return HeadNode(params, logs, head=True, shutdown_at_exit=True)


def main(settings: dict[str, Any]) -> int:
    """Serve until ended."""
    os.environ["PYTHONPATH"] = settings["import_path"]  # tasks that need no CPU may run here
    Path(settings["temp_dir"]).mkdir(parents=True, exist_ok=True)
    (Path(settings["scratch"]) / "spill").mkdir(exist_ok=True)
    node = start_node(settings)
    watcher = Watcher(node.gcs_address, settings["offer"])
    watcher.look()
    door = Door(read_secret(Path(settings["secrets"])), settings["page_hosts"])
    front = Front(door, settings["bind"], settings["page_port"])
    front.serve(lambda: watcher.answer)
    host = settings["host"]
    url = f"http://{host}:{front.port}"
    heads.publish(
        Path(settings["head_file"]),
        address=node.gcs_address,
        front=url,
        imported_at=_IMPORTED_AT,
    )
    serve_ready(settings["bind"], settings["ready_port"], lambda: True)  # it ends with a part of it
    tick = threading.Event()
    while not node.dead_processes():
        with contextlib.suppress(Exception):  # Ray's many kinds of "try again"
            watcher.look()
        if front.page is None and node.webui_url:
            front.page = page_of(host, node.webui_url)
        tick.wait(_LOOK_EVERY_S)
    return 1


def page_of(host: str, dashboard: str) -> Page:
    """Ray's own page, which wants the cluster's token; ``dashboard`` is its host and port."""
    token = Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()
    port = int(dashboard.rpartition(":")[2])
    return Page(host=host, port=port, authorization=f"Bearer {token}")


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
