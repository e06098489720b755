"""The reaper as a flow, for a schedule: the last net of ``infra.reaper``, seen in Prefect's UI."""

from __future__ import annotations

from prefect import flow, get_run_logger

from infra import reaper
from infra.settings import load_settings


@flow(name="reap", validate_parameters=False)
def reap() -> dict[str, list[str]]:
    """Release what nobody owns any more and end runs whose flow has died.

    Returns:
        The clusters released and the runs ended, by name.
    """
    found = reaper.reap(load_settings())
    logger = get_run_logger()
    logger.info("released %s, ended %s", found.clusters or "nothing", found.runs or "no run")
    return {"clusters": list(found.clusters), "runs": list(found.runs)}
