"""``python -m ebbtide.infra.lifecycle.detached RUN DIGEST``: drives one run, and ends with it.

It ends well when the run has ended, however that was: only a flow that could not do its work is
started again. One that is told to go (its node is drained) just goes: the next one adopts the
cluster when the Lease's holder has been silent for its duration.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys

from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.detached import arriving, keeping
from ebbtide.infra.processes.identity import this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings, load_settings

_TOLD_TO_GO = 128 + signal.SIGTERM


def main(run: RunName, digest: str) -> int:
    """Take a run over and carry it out.

    Args:
        run: its name.
        digest: of its package of code.

    Returns:
        What to exit with.
    """
    signal.signal(signal.SIGTERM, lambda *_: os._exit(_TOLD_TO_GO))
    arriving.take_secrets(os.environ)
    settings = load_settings()
    with contextlib.closing(open_store(settings)) as store:
        found = store.run(run)
        if found is None or found.over:
            _say(f"{run}: it is over")
            keeping.keep(settings, store, run)
            return 0
        if not arriving.take_code(settings, store, run, digest):
            return _without_code(settings, store, run)
        store.register_flow_process(run, this_process(), None)
        arriving.stay(settings, run)
        _say(f"{run}: taken over by {arriving.here()}")
        with contextlib.suppress(EbbError):  # recorded where it was raised
            carry_out(settings, store, found.spec, steps)
        ended = store.run(run)
        _say(f"{run}: {ended.phase if ended is not None else 'gone'}")
        if ended is not None and not ended.over:
            return 1
        keeping.keep(settings, store, run)
        return 0


def _without_code(settings: Settings, store: RunStore, run: RunName) -> int:
    """End a run that nobody can drive."""
    detail = "whoever began it has not sent its code"
    if store.clusters_of(run):
        detail = "its flow was lost with its node, and no pod of its cluster has its code"
    stop_run(settings, run, Reason.LAUNCH_FAILED)
    error = error_for(Reason.LAUNCH_FAILED, detail=detail)
    runs.end(store, run, error, error.exit_code)
    _say(f"{run}: {detail}; ended")
    return 0


def _say(line: str) -> None:
    """To the pod's log."""
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main(RunName(sys.argv[1]), sys.argv[2]))
