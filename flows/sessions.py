"""One ``cluster`` for scripts, notebooks and flows: inside a Prefect flow it is the flow's own.

A flow's cluster is adopted or replaced when that flow run is run again, and its steps are seen as
tasks; outside of a flow there is nothing to be run again, and Prefect is not imported.
"""

from __future__ import annotations

import importlib
import sys
from contextlib import AbstractContextManager
from typing import Unpack

from ebbtide.flows.api import Cluster
from ebbtide.flows.api import cluster as plain
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.keywords import ClusterOptions, documented

__all__ = ["Cluster", "cluster"]

_OF_FLOWS = "ebbtide.flows.authoring.holding"


@documented(ClusterOptions)
def cluster(
    framework: str = "dask",
    *,
    name: str = "",
    keep_while_suspended: str | None = None,
    **options: Unpack[ClusterOptions],
) -> AbstractContextManager[Cluster]:
    """A cluster for as long as the block lasts; released when it is left, however it is left.

    Args:
        framework: dask, ray or spark.
        name: of its run; inside a flow it tells the flow's clusters apart instead.
        keep_while_suspended: inside a flow, such as ``"30m"``: a suspended flow keeps it for so
            long (12 h at most), once; else it is released and made anew on resume.
        options: as below.

    Returns:
        A context manager that yields the living cluster.

    Raises:
        ConfigurationError: with everything that is wrong with the request; nothing was made.
        CapacityError: there was no room in time.
        ProvisioningError: head or workers did not come.
    """
    if _in_a_flow():
        own = {"name": name} if name else {}
        held: AbstractContextManager[Cluster] = importlib.import_module(_OF_FLOWS).cluster(
            framework, keep_while_suspended=keep_while_suspended, **own, **options
        )
        return held
    if keep_while_suspended is not None:
        summary = "keep_while_suspended is for flows: nothing suspends a script"
        hint = "leave it out, or call this from a function with @flow"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    return plain(framework, name=name, **options)


def _in_a_flow() -> bool:
    """Whoever is in a flow has imported Prefect."""
    context = sys.modules.get("prefect.context")
    return context is not None and context.FlowRunContext.get() is not None
