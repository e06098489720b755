"""``python -m ebbtide.infra.lifecycle.reaping``: reaps one namespace until it is told to stop."""

from __future__ import annotations

import signal
import sys
import threading

from ebbtide.infra.lifecycle.reaping.rounds import LOOK_S, Rounds
from ebbtide.infra.platforms.kubernetes.administration.reaping import Namespace
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import now_s


def say(line: str) -> None:
    """Print a line to the pod's log."""
    print(line, flush=True)


def main() -> int:
    """Watch, and release what nobody owns any more."""
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    with Namespace(load_settings()) as namespace:
        say(f"reaper of namespace {namespace.name}; what fails is tried again as long as it runs")
        sweep, tidy = namespace.platform.sweep, namespace.store.tidy
        rounds = Rounds(namespace, namespace.store, sweep, tidy, say)
        while not over.wait(LOOK_S):
            rounds.look(now_s())
    return 0


if __name__ == "__main__":
    sys.exit(main())
