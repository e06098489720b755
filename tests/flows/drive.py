"""``python drive.py FILE FLOW FLOW_RUN_ID``: run a flow run as a worker's process does."""

from __future__ import annotations

import runpy
import sys
from uuid import UUID

from prefect.engine import handle_engine_signals
from prefect.flow_engine import load_flow_run, run_flow


def main(file: str, name: str, flow_run_id: str) -> None:
    flow = runpy.run_path(file)[name]
    with handle_engine_signals(UUID(flow_run_id)):
        run = load_flow_run(UUID(flow_run_id))
        run_flow(flow, flow_run=run, parameters=run.parameters)


if __name__ == "__main__":
    main(*sys.argv[1:4])
