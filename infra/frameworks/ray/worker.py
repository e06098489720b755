"""A Ray node as a process that leaves when told; its argument is its settings as JSON.

How it leaves is in ``leaving``.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from ray._private.parameter import RayParams

from ebbtide.infra.frameworks.ray import task_process
from ebbtide.infra.frameworks.ray.leaving import Leaving
from ebbtide.infra.frameworks.ray.node import KeptLogsNode, new_folder
from ebbtide.infra.frameworks.ready import serve_ready
from ebbtide.infra.frameworks.shown import Shown
from ebbtide.infra.frameworks.workers import (
    killed_for_memory,
    listens,
    told_to_leave,
    wait_for_head,
    wait_until_it_listens,
)
from ebbtide.infra.models.phases import exit_status
from ebbtide.infra.processes.environment import held_back

_LOOK_EVERY_S = 0.5
_HEAD_GONE_LOOKS = 4
"""A worker that leaves and finds nobody at the head's address so often has nothing to wait for."""
_STDOUT = 1
_WHAT_TASKS_PRINT = ("worker-*.out", "worker-*.err", "raylet.err")
_MARKS = (b":job_id:", b":task_name:", b":actor_name:")
"""Ray's own between what tasks print, for its log monitor (2.60)."""


def start_node(settings: dict[str, Any], address: str) -> KeptLogsNode:
    """A raylet and its agents, on free ports.

    Raises:
        Exception: of Ray's many kinds: it did not come up, and nothing of it is left.
    """
    params = RayParams(
        node_ip_address=settings["host"],
        gcs_address=address,
        num_cpus=settings["num_cpus"],
        num_gpus=settings["num_gpus"],
        memory=settings["memory_bytes"],
        object_store_memory=settings["object_store_bytes"],
        object_spilling_directory=str(Path(settings["scratch"]) / "spill"),
        temp_dir=str(new_folder(Path(settings["temp_dir"]))),
        worker_path=task_process.__file__ if held_back(os.environ) else None,  # None: Ray's own
        include_log_monitor=True,  # what tasks print is shown by the driver
        min_worker_port=0,
        max_worker_port=0,
    )
    # No shutdown_at_exit: it would set Ray's handler of SIGTERM, see ``leaving``.
    return KeptLogsNode(params, logs_of(settings), head=False, shutdown_at_exit=False)


def logs_of(settings: dict[str, Any]) -> Path:
    """The folder that the node's logs are kept in."""
    return Path(settings["artifacts"]) / settings["name"]


def begun(settings: dict[str, Any], told: threading.Event) -> KeptLogsNode | None:
    """Wait for the head, and join it.

    Args:
        settings: of the node.
        told: set when it is told to leave.

    Returns:
        The node; None when the head did not come, or when told to leave before.
    """
    head = wait_for_head(Path(settings["head_file"]), settings["head_wait_s"], told)
    if head is None:
        return None
    address = wait_until_it_listens(head["address"], settings["head_wait_s"], told)
    if not address:
        return None
    os.environ["PYTHONPATH"] = settings["import_path"]  # for tasks: users' modules
    (Path(settings["scratch"]) / "spill").mkdir(exist_ok=True)
    return start_node(settings, address)


class Serving:
    """One node, looked at twice a second."""

    def __init__(self, node: KeptLogsNode, settings: dict[str, Any], told: threading.Event):
        """Nothing is done yet.

        Args:
            node: which has joined.
            settings: of it.
            told: set when it is told to leave.
        """
        self._node, self._told = node, told
        self._budget_s: float = settings["drain_budget_s"]
        self._shown = Shown(logs_of(settings), dict.fromkeys(_WHAT_TASKS_PRINT, _STDOUT), _MARKS)
        self._alone: bool = settings["alone"]
        self._killed = killed_for_memory()
        self._until_s: float | None = None
        self._leaving: Leaving | None = None
        self._silent = 0
        self.lives = True
        """Whether all of its parts run."""

    def serve(self) -> int:
        """Until a part of the node ends: 0 when it was told to leave.

        Also where a container's memory ran out and the kernel killed a process of a task: some
        kernels kill all of the container then, and what is left tells nobody why the task failed.
        """
        tick = threading.Event()
        while not self._node.dead_processes():
            self._show()
            if self._alone and killed_for_memory() > self._killed:
                self.lives = False
                self._show(last=True)
                return exit_status(-signal.SIGKILL)
            if self._told.is_set() and self._has_left():
                break
            tick.wait(_LOOK_EVERY_S)
        self.lives = False
        self._show(last=True)
        return 0 if self._told.is_set() else 1

    def _show(self, *, last: bool = False) -> None:
        if self._alone:
            self._shown.look(last=last)

    def _has_left(self) -> bool:
        """Ask to leave. Returns whether nothing needs to be waited for any more."""
        now_s = time.monotonic()
        if self._until_s is None or self._leaving is None:
            self._until_s = now_s + self._budget_s
            self._leaving = Leaving(self._node, self._budget_s)
        if now_s > self._until_s:
            print(f"drain budget of {self._budget_s:.0f} s is used up", file=sys.stderr, flush=True)
            return True
        if not listens(self._node.gcs_address):  # Ray's own question would wait for a minute
            self._silent += 1
            return self._silent >= _HEAD_GONE_LOOKS
        self._silent = 0
        with contextlib.suppress(Exception):  # Ray's many kinds of "try again"
            return self._leaving.has_left()
        return False


def main(settings: dict[str, Any]) -> int:
    """Serve until told to leave and idle, or until a part dies."""
    told = told_to_leave()
    node = begun(settings, told)
    if node is None:
        return 0 if told.is_set() else 1
    serving = Serving(node, settings, told)
    try:
        serve_ready(settings["bind"], settings["ready_port"], lambda: serving.lives)
        return serving.serve()
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
