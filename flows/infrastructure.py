"""The infrastructure as a page in Prefect's UI: one artifact, kept current by a schedule.

The stack's reaper calls ``refresh`` too, whenever something has changed; a flow run for each change
would hide the runs of users.
"""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client

from ebbtide.flows.prefect_state.registration import register_process
from ebbtide.infra.errors import EbbError
from ebbtide.infra.escaping import markdown
from ebbtide.infra.lifecycle.inventory import Overview, gather
from ebbtide.infra.platforms.extras import catalog_of_all
from ebbtide.infra.presentation.tables import Row, Table, moment, tables
from ebbtide.infra.request.catalog import Catalog, catalog_for
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.tasks.artifacts import put_current

KEY = "infrastructure"
_FRESH_FOR_S = 24 * 3600.0
"""The artifact is changed in place for a day; then a new one begins, which the UI lists first."""


@flow(name="infrastructure", validate_parameters=False)
def infrastructure() -> None:
    """Refresh the page: pools and nodes, what runs where, the queue, clusters and leases, tiers."""
    settings = load_settings()
    id_ = register_process(settings)
    with get_client(sync_client=True) as client:
        refresh(client, settings, flow_run_id=UUID(id_) if id_ else None)


def refresh(
    client: SyncPrefectClient, settings: Settings, *, flow_run_id: UUID | None = None
) -> None:
    """Write the page as it is now.

    Args:
        client: of Prefect's server.
        settings: of this installation.
        flow_run_id: of the flow run that a new artifact belongs to; None outside a flow run.
    """
    page = page_of(gather(settings, _catalog()))
    put_current(client, KEY, page, fresh_for_s=_FRESH_FOR_S, flow_run_id=flow_run_id)


def _catalog() -> Catalog:
    """As ``ebb nodes`` has it; without the pools of a Kubernetes that does not answer now."""
    try:
        return catalog_of_all(os.environ, Path.cwd(), {})
    except EbbError:
        return catalog_for(os.environ, Path.cwd())[0]


def page_of(overview: Overview) -> str:
    """Return the overview as a page in Markdown."""
    parts = [f"as of **{moment(overview.at)}** on {os.uname().nodename}"]
    parts += [f"## {table.title}\n\n{_markdown(table)}" for table in tables(overview)]
    parts += [f"not shown: {_cell(sentence)}" for sentence in overview.not_shown]
    parts.append(f"\\* the default; pools and tiers from {_cell(overview.source)}")
    return "\n\n".join(parts) + "\n"


def _markdown(table: Table) -> str:
    if not table.rows:
        return _cell(table.empty)
    rule = ("---",) * len(table.headers)
    return "\n".join(_line(row) for row in (table.headers, rule, *table.rows))


def _line(row: Row) -> str:
    return f"| {' | '.join(map(_cell, row))} |"


def _cell(text: str) -> str:
    """Escape a cell, so that it cannot end its column, its line or the text around it."""
    return markdown(" ".join(text.split()))
