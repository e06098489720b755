"""Spark's daemon for Python tasks, of a program whose code came when its cluster was there already.

An executor starts it, and it forks all processes of tasks. An executor is of one program only, so
that each program has its own modules.
"""

from __future__ import annotations

import runpy

from ebbtide.infra.frameworks.workers import import_task_modules


def main() -> None:
    """Import from the program's package, and become Spark's own."""
    import_task_modules()
    runpy.run_module("pyspark.daemon", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
