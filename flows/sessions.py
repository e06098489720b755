"""One ``cluster`` for scripts, notebooks and flows: inside a Prefect flow it is the flow's own.

A flow's cluster is adopted or replaced when that flow run is run again, and its steps are seen as
tasks; outside of a flow there is nothing to be run again, and Prefect is not imported.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import AbstractContextManager
from typing import Any

from ebbtide.flows.api import Cluster
from ebbtide.flows.api import cluster as plain

__all__ = ["Cluster", "cluster"]


def cluster(framework: str = "dask", **options: Any) -> AbstractContextManager[Cluster]:
    """A cluster for as long as the block lasts; released when it is left, however it is left.

    Args:
        framework: its name.
        options: those of ``ebb run``, with underscores. Inside a flow also ``name``, which tells
            the flow's clusters apart, and ``keep_while_suspended``, such as ``"30m"``: how long a
            suspended flow keeps it (12 h at most; else it is released, and made anew on resume).

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: there was no room in time.
        ProvisioningError: head or workers did not come.
    """
    if not _in_a_flow():
        return plain(framework, **options)
    held: AbstractContextManager[Cluster] = importlib.import_module(_OF_FLOWS).cluster(
        framework, **options
    )
    return held


_OF_FLOWS = "ebbtide.flows.authoring.holding"


def _in_a_flow() -> bool:
    """Whoever is in a flow has imported Prefect."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None
