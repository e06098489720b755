"""Commands that change things release what nobody owns any more.

``ebb run`` does so on this machine before the run begins: it may need the room. Elsewhere beside
the run, when it has started or waits for something, so that nobody waits for it: what a dead
cluster holds of a namespace's quota is waited for by the run itself.
"""

from __future__ import annotations

import threading

from ebbtide.flows.cli.output import say
from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.settings import Settings

_HERE = "local"
_START_TAKES_S = 5.0
"""A start that takes longer waits for something: perhaps for what is released then. Until then the
cores and the API server are the start's."""
_LONGEST_S = 30.0


class Reaping:
    """``with Reaping(...)``: a round of the reaper, before the block or beside or after it."""

    def __init__(self, settings: Settings, spec: RunSpec):
        self._settings, self._first = settings, spec.platform == _HERE
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beside_it, name="reaper", daemon=True)

    def __enter__(self) -> Reaping:
        if self._first:
            release_unowned(self._settings)
        else:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Wait for the round, at most half a minute: what it leaves is found by the next one."""
        self._over.set()
        self.ended(timeout_s=_LONGEST_S)

    def ended(self, *, timeout_s: float) -> bool:
        """Wait for its end; whether that has come in so many seconds."""
        if not self._first:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _beside_it(self) -> None:
        self._over.wait(_START_TAKES_S)
        try:
            release_unowned(self._settings)
        except EbbError as error:
            say(f"! what has no owner cannot be released: {error.message}")
        except Exception as error:  # never a traceback of ours in front of a user
            say(f"! what has no owner cannot be released: {error!r}")


def release_unowned(settings: Settings) -> None:
    """Release what nobody owns any more, and say what that was.

    Raises:
        EbbError: a platform in use does not answer, or does not let us look.
    """
    found = reaper.reap(settings)
    if found.clusters:
        say(f"! released what had no living owner: {', '.join(found.clusters)}")
