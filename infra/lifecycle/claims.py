"""One job for one thing to be done, however often it is asked for; of two at once one begins it."""

from __future__ import annotations

import contextlib

from ebbtide.infra.files.private import locked, private_home
from ebbtide.infra.lifecycle.once import begin, take_over
from ebbtide.infra.lifecycle.submission import Request
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.platforms.local import marks
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from ebbtide.infra.waiting import wall_s


def claim(
    settings: Settings, request: Request, *, key: str, window_s: float, flow_run_id: str
) -> str | None:
    """Begin the job of this key unless somebody does it now, or has done it within the window.

    A run of it that failed, or whose flow has died, does not count.

    Returns:
        None when it is the caller's to do; else in words who does it, or did.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
    """
    ledger = Ledger(settings.home)
    lock = private_home(settings.home) / "claims.lock"
    with locked(lock), contextlib.closing(ledger):
        row = ledger.run_of(key)
        if row is not None and row["ended"] is None:
            if marks.alive(row["flow_pid"], row["flow_started"]):
                return f"already being done by run {row['name']}"
            take_over(ledger, row["name"], flow_run_id)
            return None
        if row is not None and row["phase"] == Phase.SUCCEEDED.value:
            if wall_s() - row["ended"] < window_s:
                return f"done already by run {row['name']}"
            ledger.update_run(row["name"], job_key=f"{key}#{row['name']}")
        begin(ledger, request, key=key, flow_run_id=flow_run_id)
    return None
