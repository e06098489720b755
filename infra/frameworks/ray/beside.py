"""A Ray node without CPUs beside a program in a pod of its own; its argument is its settings.

``ray.init`` connects to the node of its own machine, so that there has to be one. It runs tasks
that need no CPU, as the node beside a driver does everywhere. ``ready`` is printed when it has
joined.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from ebbtide.infra.frameworks.ray.worker import begun
from ebbtide.infra.frameworks.workers import told_to_leave

_LOOK_EVERY_S = 0.5
_OF_THE_PROGRAM = "RAY_ADDRESS"


def main(settings: dict[str, Any]) -> int:
    """Serve until told to leave, or until a part dies."""
    told = told_to_leave()
    os.environ.pop(_OF_THE_PROGRAM, None)  # tasks have what Ray gives them
    node = begun(settings, told)
    if node is None:
        return 0 if told.is_set() else 1
    try:
        # By number: Ray's own way to find a host by its name asks a server, and for long.
        print("ready", json.dumps({_OF_THE_PROGRAM: node.gcs_address}), flush=True)
        while not node.dead_processes() and not told.wait(_LOOK_EVERY_S):
            pass
        return 0 if told.is_set() else 1
    finally:
        node.kill_all_processes(check_alive=False, allow_graceful=True)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
