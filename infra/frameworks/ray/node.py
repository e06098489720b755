"""Ray's node, with its session's logs where they outlive the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray._private.node import Node
from ray._private.parameter import RayParams


class KeptLogsNode(Node):
    """Head or worker. Ray's processes write their logs to a folder of the session, as ever.

    That folder is a link to one that is kept, so that nothing needs to be saved when the node ends,
    however it does.
    """

    def __init__(self, params: RayParams, logs: Path, **how: Any):
        """Start it; ``logs`` is the folder, which is made."""
        self._kept_logs = logs
        super().__init__(params, spawn_reaper=False, **how)

    def _init_temp(self, node_to_connect_info: Any) -> None:
        session = Path(self._ray_params.temp_dir, self._session_name)
        session.mkdir(parents=True, exist_ok=True)
        self._kept_logs.mkdir(parents=True, exist_ok=True)
        (session / "logs").symlink_to(self._kept_logs)
        super()._init_temp(node_to_connect_info)
