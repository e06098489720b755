"""Whoever uses one namespace of a lab by the command line, and looks at what becomes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.clusters import holdings
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.waiting import wall_s
from tests.helpers import wait_until
from tests.kubernetes.lab.place import NODE
from tests.kubernetes.lab.pools.values import Pool

LEASE_S = 5
SLOW = "import time\nfor i in range({}):\n    print(i, flush=True)\n    time.sleep(1)\n"
POOL = Pool(name="reaped", cores=2, memory_gib=4, most=1, node=NODE)


class Team:
    """Whoever uses one namespace, from this machine."""

    def __init__(self, kubeconfig: str, space: str, folder: Path):
        self.api = Api(Access(kubeconfig=kubeconfig, namespace=space))
        self.store = KubernetesStore(self.api, Ledger(folder / "looks"))
        self.folder = folder
        self.began: list[subprocess.Popen[bytes]] = []
        self.variables = {
            **{name: text for name, text in os.environ.items() if not name.startswith("EBB_")},
            "KUBECONFIG": kubeconfig,
            "EBB_NAMESPACE": space,
            "EBB_HOME": str(folder / "home"),
            "EBB_PREFECT_SERVER": "off",
        }

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        """Begin a process of ours."""
        with (self.folder / "out").open("ab") as out:
            began = subprocess.Popen(
                [sys.executable, "-m", *words],
                cwd=self.folder,
                env=self.variables,
                stdin=subprocess.PIPE,
                stdout=out,
                stderr=subprocess.STDOUT,
            )
        self.began.append(began)
        return began

    def end(self) -> None:
        """End all processes that were begun."""
        for began in self.began:
            began.kill()
            began.communicate()
        self.store.close()

    def run(self, name: str, seconds: int) -> subprocess.Popen[bytes]:
        """Begin a run, and return its ``ebb run`` when its program prints."""
        (self.folder / "slow.py").write_text(SLOW.format(seconds))
        options = ("--platform", "kubernetes", "--framework", "none", "--lease", f"{LEASE_S}s")
        began = self.start("ebbtide", "run", *options, "--name", name, "slow.py")
        wait_until(lambda: self.printed(name), 120, f"{name} prints")
        return began

    def says(self, *words: str) -> str:
        """What one command of ours tells."""
        return self.runs(*words).stderr

    def runs(self, *words: str) -> subprocess.CompletedProcess[str]:
        """What one command of ours prints and tells."""
        return subprocess.run(
            [sys.executable, "-m", "ebbtide", *words],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )

    def printed(self, name: str) -> list[str]:
        """The lines that were copied to this machine."""
        path = self.folder / "home/runs" / name / "stdout.log"
        return path.read_text().split() if path.exists() else []

    def flow(self, name: str) -> int:
        """The process that drives a run."""
        found = self.store.run(RunName(name))
        assert found is not None
        assert found.flow_process is not None
        return found.flow_process.pid

    def left(self, name: str) -> list[str]:
        """All that is alive of a run's first cluster."""
        return [each.name for each in holdings.held(self.api, ClusterId(f"{name}-1"), wall_s())]
