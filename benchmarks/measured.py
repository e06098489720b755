"""Wall and CPU time of a command and of all it starts: ``python -m benchmarks.measured HOME ARGV``.

What outlives the command (guard, supervisor, a Prefect server) becomes a child of this process
(Linux' child subreaper), so the kernel's own account of it is complete. The Prefect server of HOME
is ended before the account is closed.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

from ebbtide.flows.prefect_server import server
from ebbtide.infra.waiting import wait_until

_PR_SET_CHILD_SUBREAPER = 36
_END_TIMEOUT_S = 60.0


def main(home: Path, argv: list[str]) -> int:
    """Run it and print what it took."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    started = time.monotonic()
    code = subprocess.run(argv, stdout=sys.stderr, check=False).returncode
    wall_s = time.monotonic() - started
    server.stop(home)
    if not wait_until(_no_child_left, timeout_s=_END_TIMEOUT_S):
        raise SystemExit(f"{argv} left processes behind")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(json.dumps({"code": code, "wall_s": wall_s, "cpu_s": used.ru_utime + used.ru_stime}))
    return code


def _no_child_left() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
