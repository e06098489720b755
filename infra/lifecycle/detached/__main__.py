"""``python -m ebbtide.infra.lifecycle.detached RUN DIGEST``: drives one run, and ends with it.

It ends well when the run has ended, however that was: only a flow that could not do its work is
started again. One that is told to go (its node is drained) just goes: the next one adopts the
cluster when the Lease's holder has been silent for its duration.
"""

from __future__ import annotations

import os
import signal
import sys

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.detached.driving import TOLD_TO_GO, live
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings, load_settings


def main(run: RunName, digest: str) -> int:
    """Take a run over and carry it out.

    Args:
        run: its name.
        digest: of its package of code.

    Returns:
        What to exit with.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(TOLD_TO_GO))
    return live(load_settings(), run, digest, _drive)


def _drive(settings: Settings, store: RunStore, run: Run) -> None:
    carry_out(settings, store, run.spec, steps)


if __name__ == "__main__":
    sys.exit(main(RunName(sys.argv[1]), sys.argv[2]))
