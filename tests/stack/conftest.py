"""One ``ebb up`` for all tests of this folder, and Prefect as a client sees it."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import pytest_runtest_makereport  # noqa: F401 (a hook, for pytest)
from tests.helpers import end_marked_processes, marked_processes, wait_until
from tests.stack.prefect import EBB, ROOT, Stack

PROGRAMS = {
    "quick.py": "print('quick')\n",
    "touches.py": "import pathlib, sys\npathlib.Path(sys.argv[1]).open('x').close()\n",
    "waits.py": (
        "import pathlib, sys, time\n"
        "print('started', flush=True)\n"
        "while not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.05)\n"
    ),
    "fails_once.py": (
        "import pathlib, sys\n"
        "mark = pathlib.Path(sys.argv[1])\n"
        "if not mark.exists(): mark.touch(); sys.exit(3)\n"
    ),
    "floods.py": "for i in range(20000): print('line', i)\n",
}


CATALOG = """
pools: {local: {}}
tiers:
  small: {cpu: 250m, memory: 768Mi, price-per-hour: 0.12}
  single: {cpu: 250m, memory: 768Mi, price-per-hour: 0.12, runs-at-once: 1}
"""


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Prefect server, worker and deployments of a home of their own."""
    with tempfile.TemporaryDirectory(prefix="ebb-up-", ignore_cleanup_errors=True) as folder:
        home, place = Path(folder).resolve() / "home", Path(folder).resolve() / "place"
        place.mkdir()
        for name, text in {**PROGRAMS, "ebb.yaml": CATALOG}.items():
            (place / name).write_text(text)
        yield from _up_and_down(home, place)


def _up_and_down(home: Path, place: Path) -> Iterator[Stack]:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PREFECT")},
        "EBB_HOME": str(home),
        "EBB_LEASE": "10s",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",  # a minute otherwise
        "PYTHONPATH": str(ROOT),
    }
    try:
        words = [*EBB, "up", "--json", "--limit", "8"]
        done = subprocess.run(
            words, cwd=place, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        up = Stack(home, place, environment)
        up.deploy(ROOT / "tests" / "stack" / "deployments.yaml")
        yield up
        subprocess.run([*EBB, "down"], cwd=place, env=environment, check=True)
        wait_until(lambda: not marked_processes(home), 5, "ebb down leaves nothing")
    finally:
        end_marked_processes(home)
