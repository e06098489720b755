"""The parent of a cluster's supervisor: when that is gone, for whatever reason, so is all the rest.

``python -m ebbtide.infra.platforms.local.guard HOME RUN CLUSTER ATTEMPT`` starts the supervisor.
It is the nearest subreaper above all of the cluster's processes, so those that lost their parent
come to it and even one that dropped the mark is found. Standard library only, and as little of it
as possible: nothing may be left that could fail.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger

_PR_SET_CHILD_SUBREAPER = 36


def main(home: Path, run: RunName, cluster: ClusterId, attempt: int) -> None:
    """Start the supervisor of one cluster, wait for its end, then leave nothing of it behind.

    Args:
        home: of this installation.
        run: whose cluster it is.
        cluster: its id.
        attempt: of the run; 1 = the first.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    environment = {**os.environ, **marks.mark(home, run, cluster, "supervisor", "supervisor")}
    argv = [
        sys.executable,
        "-P",
        "-m",
        "ebbtide.infra.platforms.local.supervisor.main",
        str(home),
        run,
        cluster,
        str(attempt),
    ]
    supervisor = subprocess.Popen(argv, env=environment, start_new_session=True)
    # A polite end is the supervisor's to carry out: it knows what the user's program still needs.
    signal.signal(signal.SIGTERM, lambda *_: marks.signal_quietly(supervisor.pid, signal.SIGTERM))
    _wait_for(supervisor.pid)
    folder, me = home / "clusters" / cluster, frozenset({os.getpid()})
    left = marks.sweep(home, cluster, folder, spare=me, my_children=True)
    if left:
        sys.exit(f"still alive after the release: {[process.pid for process in left]}")
    # The reaper will say it when the ledger can be written again.
    with contextlib.suppress(EbbError):
        Ledger(home).mark_released(cluster, by="guard", reason=Reason.SUPERVISOR_LOST)


def _wait_for(pid: int) -> None:
    """Until this child has ended; orphans that came to us are reaped on the way."""
    while True:
        try:
            ended, _ = os.waitpid(-1, 0)
        except InterruptedError:
            continue
        except ChildProcessError:
            return
        if ended == pid:
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), RunName(sys.argv[2]), ClusterId(sys.argv[3]), int(sys.argv[4]))
