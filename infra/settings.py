"""Settings of this installation, from the environment.

Does not belong here: what one run may choose (``infra.request.options``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this installation keeps things. Every path may be short-lived except ``home``."""

    home: Path
    """``EBB_HOME``: the ledger, the runs' folders, the local Prefect server's files."""
    prefect_server: bool = True
    """``EBB_PREFECT_SERVER=off``: no server is started, so runs are not recorded in Prefect."""

    @property
    def runs(self) -> Path:
        """A folder a run: logs, output, exit code. Kept after release."""
        return self.home / "runs"

    @property
    def clusters(self) -> Path:
        """A folder a living cluster: spill, keys, addresses. Gone after release."""
        return self.home / "clusters"

    def run_folder(self, run: str) -> Path:
        """Kept after release."""
        return self.runs / run

    def cluster_folder(self, cluster: str) -> Path:
        """Gone after release."""
        return self.clusters / cluster


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the environment; the home defaults to the XDG state folder."""
    state = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    home = Path(environ.get("EBB_HOME") or state / "ebb").expanduser().absolute()
    off = environ.get("EBB_PREFECT_SERVER", "").lower() in ("off", "0", "false", "no")
    return Settings(home=home, prefect_server=not off)
