"""Settings of this installation, from the environment.

Does not belong here: what one run may choose (``infra.request.options``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

OPENED = "open-"
"""Begins the name of a folder in a run's folder that lives as long as ``ebb open`` shows it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where this installation keeps its files, and what it may start and use."""

    home: Path
    """``EBB_HOME``: the ledger, the runs' folders, the local Prefect server's files."""
    prefect_server: bool = True
    """``EBB_PREFECT_SERVER=off``: no server is started, so runs are not recorded in Prefect."""
    context: str = ""
    """``EBB_CONTEXT``: of the kubeconfig; empty: its current one, or the pod's own account."""
    namespace: str = ""
    """``EBB_NAMESPACE``; empty: the context's, or the pod's own."""
    kubeconfig: str = ""
    """``KUBECONFIG``, as kubectl has it; empty: ``~/.kube/config``."""
    platform: str = ""
    """``EBB_PLATFORM``: where runs go that name none, so that its records are read from the first
    (a pod has nothing else to know of it); empty: this machine."""

    @property
    def runs(self) -> Path:
        """The folder of all runs' folders: logs, output and exit code. Kept after the release."""
        return self.home / "runs"

    @property
    def clusters(self) -> Path:
        """The folder of living clusters' folders: spill, keys, addresses. Deleted on release."""
        return self.home / "clusters"

    @property
    def variables(self) -> dict[str, str]:
        """What makes another process have the same settings."""
        place = {
            "EBB_CONTEXT": self.context,
            "EBB_NAMESPACE": self.namespace,
            "KUBECONFIG": self.kubeconfig,
        }
        return {"EBB_HOME": str(self.home), **{name: text for name, text in place.items() if text}}

    def run_folder(self, run: str) -> Path:
        """Return the folder of one run, which is kept after the release."""
        return self.runs / run

    def cluster_folder(self, cluster: str) -> Path:
        """Return the folder of one cluster, which is deleted on release."""
        return self.clusters / cluster


def load_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings from the environment; ``EBB_HOME`` defaults to the XDG state folder."""
    state = Path(environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    home = Path(environ.get("EBB_HOME") or state / "ebb").expanduser().absolute()
    off = environ.get("EBB_PREFECT_SERVER", "").lower() in ("off", "0", "false", "no")
    return Settings(
        home=home,
        prefect_server=not off,
        context=environ.get("EBB_CONTEXT", ""),
        namespace=environ.get("EBB_NAMESPACE", ""),
        kubeconfig=environ.get("KUBECONFIG", ""),
        platform=environ.get("EBB_PLATFORM", "").strip(),
    )
