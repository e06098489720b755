"""What runs in a process of tasks before Ray's worker, and before its first task.

A raylet starts ``main`` where the user has set something that Ray itself must not have.

Ray's agents beside it would die of PYTHONWARNINGS=error, and the node with them, and leave their
temporary files in the user's TMPDIR when they are killed; so only this process is given it, and
becomes Ray's own worker at once, which starts under it as it does on a laptop.

Ray calls ``import_modules`` for the tasks of a program whose code came when its cluster was there
already. A process runs tasks of one program only, so that each has its own modules.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

from ebbtide.infra.frameworks.workers import import_task_modules
from ebbtide.infra.processes.environment import give_back_to_tasks


def main() -> None:
    """Become Ray's worker."""
    ray = importlib.util.find_spec("ray")
    assert ray is not None
    assert ray.origin is not None
    worker = Path(ray.origin).parent / "_private" / "workers" / "default_worker.py"
    give_back_to_tasks(os.environ)
    python = sys.orig_argv[0]
    os.execvp(python, [python, "-u", str(worker), *sys.argv[1:]])


def import_modules() -> None:
    """Ray's call: import from the program's package, see ``driver``."""
    import_task_modules()


if __name__ == "__main__":
    main()
