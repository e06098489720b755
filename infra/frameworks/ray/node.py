"""Ray's node, with its session's logs where they outlive the cluster."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import psutil
from ray._private import ray_constants, services
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import (  # type: ignore[attr-defined]  # written in Cython
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    persist_port,
)

from ebbtide.infra.waiting import wait_until

_REGISTERS_S = 90.0
"""Ray allows a raylet 30 s to register (2.60). Several at once on two cores take longer."""
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 0.5
_NICE = 15
"""Of what goes on beside tasks: Ray gives as much to their processes (2.60, worker_niceness)."""
_PORTS_OF_AGENTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
_PORTS = range(20_000, 32_768)
"""Below those that Linux gives to whoever connects (``ip_local_port_range``)."""


class KeptLogsNode(Node):
    """Head or worker. Ray's processes write their logs to a folder of the session, as ever.

    That folder is a link to one that is kept, so that nothing needs to be saved when the node ends,
    however it does. A node that does not come up leaves no process behind.
    """

    all_processes: dict[str, Any]

    def __init__(self, params: RayParams, logs: Path, **how: Any):
        """Start it; ``logs`` is the folder, which is made."""
        self._kept_logs = logs
        for name, port in zip(_PORTS_OF_AGENTS, free_ports(len(_PORTS_OF_AGENTS)), strict=True):
            setattr(params, name, port)
        try:
            super().__init__(params, spawn_reaper=False, **how)
        except Exception:
            if hasattr(self, "removal_lock"):
                self.kill_all_processes(check_alive=False, allow_graceful=False)
            raise

    def start_ray_processes(self) -> None:
        """As Ray does, and give the node the time that it needs until it is known."""
        super().start_ray_processes()
        wait_until(
            lambda: self._is_known() or bool(self.dead_processes()),
            timeout_s=_REGISTERS_S,
            first_s=_FIRST_PAUSE_S,
            longest_s=_LONGEST_PAUSE_S,
        )
        self._let_work_go_first()

    def _let_work_go_first(self) -> None:
        """Agents and log monitor import for seconds, beside the processes of the first tasks."""
        kinds = (ray_constants.PROCESS_TYPE_RAYLET, ray_constants.PROCESS_TYPE_LOG_MONITOR)
        raylets, monitors = (self.all_processes.get(kind, []) for kind in kinds)
        with contextlib.suppress(psutil.Error):
            agents = [each for raylet in raylets for each in _process(raylet).children()]
            for process in [*agents, *map(_process, monitors)]:
                process.nice(max(_NICE, process.nice()))

    def start_raylet(self, *arguments: Any, **how: Any) -> None:
        """As Ray does, and tell the raylet the one port of an agent that it has no option for.

        It would do nothing until the agent has imported all that it needs, 3 s and more, and
        written that port itself.
        """
        port = self._ray_params.dashboard_agent_listen_port
        persist_port(self._session_dir, self._node_id, DASHBOARD_AGENT_LISTEN_PORT_NAME, port)
        super().start_raylet(*arguments, **how)

    def _is_known(self) -> bool:
        try:
            services.get_node(self.gcs_address, self.node_id)
        except RuntimeError:
            return False
        return True

    def _init_temp(self, node_to_connect_info: Any) -> None:
        session = Path(self._ray_params.temp_dir, self._session_name)
        session.mkdir(parents=True, exist_ok=True)
        self._kept_logs.mkdir(parents=True, exist_ok=True)
        (session / "logs").symlink_to(self._kept_logs)
        super()._init_temp(node_to_connect_info)


class HeadNode(KeptLogsNode):
    """Its dashboard comes up beside it: nothing of a cluster waits for a page, or ends without one.

    Ray's own head does nothing else for as long as the dashboard imports and binds (2.60).
    """

    def start_api_server(self, **how: Any) -> None:
        """As Ray does, in a thread."""
        self.all_processes = _Processes(self.all_processes)
        start = super().start_api_server

        def begin() -> None:
            # This thread's, which the processes inherit that it starts.
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            try:
                start(**how)
            except Exception as error:  # Ray raises what it likes
                print(f"the dashboard did not come up: {error}", file=sys.stderr, flush=True)

        threading.Thread(target=begin, name="dashboard", daemon=True).start()


class _Processes(dict[str, Any]):
    """Ray looks through them in one thread while another adds the dashboard."""

    def items(self) -> Any:
        """As they are now."""
        return list(super().items())


def _process(started: Any) -> psutil.Process:
    return psutil.Process(started.process.pid)


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, drawn by chance, for a node's agents.

    A raylet whose agents choose for themselves does nothing until they have, and aborts when one
    has not within 15 s, which its imports alone take on a busy machine (2.60).

    Args:
        count: how many.

    Returns:
        As many, all different.
    """
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if len(found) == count:
            break
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            found.append(port)
    return found


def new_folder(wanted: Path) -> Path:
    """Make a folder of this name, or one like it where there is one of an earlier node.

    Args:
        wanted: the path.

    Returns:
        The path of the folder that was made.
    """
    path, number = wanted, 0
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:
            number += 1
            path = wanted.with_name(f"{wanted.name}-{number}")
