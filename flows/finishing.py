"""``python -m ebbtide.flows.finishing``: finishes records in Prefect that nobody is left to finish.

The keeper of this machine's Prefect server starts it when a flow process has died after its run had
ended, with what the client needs to use that server: the keeper itself does without Prefect.
"""

from __future__ import annotations

import contextlib
import sys

from ebbtide.flows.prefect_state.reconcile import finish_records
from ebbtide.flows.run_job import adopt_run
from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import reaper
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import load_settings


def main() -> int:
    """Make those records that were not begun, and finish those that were."""
    settings = load_settings()
    # Not of other places: nobody returns before a record there.
    ledger = open_store(settings).local
    for run in reaper.never_recorded(ledger):
        with contextlib.suppress(EbbError):  # what the run had failed with
            adopt_run.with_options(flow_run_name=run)(run=run)  # finds all done, and makes nothing
        reaper.sign_off(ledger)
        print(f"made the record of {run}, whose flow process had died", flush=True)
    for name in finish_records(ledger):
        print(f"finished the record of {name}, whose flow process had died", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
