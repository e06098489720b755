"""A flow carried out as a flow run that is there already. The one module here with Prefect."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow


def run_as(flow: Flow[Any, Any], flow_run: str, parameters: dict[str, Any]) -> None:
    """Carry a flow out as a flow run that somebody has made, also one that was Running already.

    How the flow ended is the flow run's state; only what kept Prefect from it is raised.

    Args:
        flow: which.
        flow_run: the id of the flow run.
        parameters: what the flow is called with.
    """
    with get_client(sync_client=True) as client:
        found = client.read_flow_run(UUID(flow_run))
    run_flow(flow, flow_run=found, parameters=parameters, return_type="state")
