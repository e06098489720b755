"""The reaper as a flow, for a schedule and for events: the last net, seen in Prefect's UI."""

from __future__ import annotations

from prefect import flow, get_run_logger

from ebbtide.flows.prefect_state.reconcile import reconcile
from ebbtide.flows.prefect_state.registration import register_process
from ebbtide.infra.settings import load_settings


@flow(name="reap", validate_parameters=False)
def reap() -> dict[str, list[str]]:
    """Release what nobody owns any more, and end runs whose process has died.

    Returns:
        The clusters released, the runs ended, and the flow runs ended in Prefect, by name.
    """
    settings = load_settings()
    register_process(settings)
    found = reconcile(settings)
    for line in found.lines or ["nothing to release, nothing to end"]:
        get_run_logger().info(line)
    return {
        "clusters": list(found.clusters),
        "runs": list(found.runs),
        "flow_runs": found.flow_runs,
    }
