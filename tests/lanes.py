"""All tests in two pytest processes side by side: ``python -m tests.lanes [OPTION OF PYTEST …]``.

Ray and Spark start slowly where two of their suites share two cores, and then too slowly for the
product's time-outs. So what starts clusters of frameworks goes one after another in one lane, with
the stack of Prefect, which computes as much; the other lane takes all the rest, of which the
Kubernetes lab is the longest part: it is built there first.

The first lane is shown while it runs, the other's output as a whole when both have ended.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile

CLUSTERS = ("tests/local", "tests/security", "tests/contract", "tests/faults", "tests/stack")
"""The folders of the first lane; the other takes what is in none of them."""
LANES = (CLUSTERS, ("tests", *(f"--ignore={folder}" for folder in CLUSTERS)))


def main(options: list[str]) -> int:
    """Run both lanes to their ends.

    Returns:
        The exit status of a lane that has not succeeded; 0 when both have.
    """
    lanes: list[subprocess.Popen[bytes]] = []

    def interrupt(*_: object) -> None:
        for lane in lanes:
            lane.send_signal(signal.SIGINT)

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal tells the lanes too; they clean up
    with tempfile.TemporaryFile() as kept:
        for lane, output in zip(LANES, (None, kept), strict=True):
            argv = [sys.executable, "-m", "pytest", *lane, *options]
            lanes.append(subprocess.Popen(argv, stdout=output, stderr=output))
        codes = [lane.wait() for lane in lanes]
        kept.seek(0)
        print(f"\nThe lane beside it: pytest {' '.join(LANES[1])}\n", flush=True)
        shutil.copyfileobj(kept, sys.stdout.buffer)
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
