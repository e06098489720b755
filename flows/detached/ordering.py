"""The flow's Job ordered from a Prefect worker: a flow run on its work pool. Imports no Prefect."""

from __future__ import annotations

import contextlib
import urllib.error

from ebbtide.flows.detached import flow_runs
from ebbtide.flows.detached.pools import WorkPool, obstacle
from ebbtide.flows.detached.template import variables
from ebbtide.flows.service.prefect_http import work_pool
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.extras import FlowOrder
from ebbtide.infra.waiting import now_s

_EVERY_S = 2.0


class WorkPoolFlow:
    """The flow of one run, from a work pool; see ``infra.platforms.extras.FlowMaker``."""

    def __init__(self, pool: WorkPool, namespace: str):
        self._pool, self._namespace = pool, namespace
        self._id, self._said, self._looked_s = "", "", 0.0

    def make(self, order: FlowOrder) -> None:
        """Make the flow run; see ``FlowMaker``."""
        pool, asked = self._pool, variables(order, self._namespace)
        try:
            self._id = flow_runs.create(pool.api, pool.name, order.run, asked)
        except (OSError, ValueError) as error:
            why = f"Prefect's server at {pool.api.url} made no flow run: {_told(error)}"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=why) from error

    def look(self) -> str:
        """Say what the flow run waits for; see ``FlowMaker``."""
        if now_s() - self._looked_s >= _EVERY_S:
            self._looked_s = now_s()
            try:
                self._said = self._look()
            except (OSError, ValueError) as error:
                self._said = f"Prefect's server does not answer: {_told(error)}"
        return self._said

    def give_up(self, why: str) -> None:
        """End the flow run; see ``FlowMaker``."""
        if self._id:
            with contextlib.suppress(OSError, ValueError):
                flow_runs.end(self._pool.api, self._id, flow_runs.CANCELLED, why)

    def _look(self) -> str:
        name = self._pool.name
        state = flow_runs.state_of(self._pool.api, self._id)
        if state.type in flow_runs.OVER:
            why = f"work pool {name}: its flow run is {state.name}: {state.message}".rstrip(": ")
            hint = "the log of the Prefect worker of that work pool has all of it"
            raise ProvisioningError(Reason.LAUNCH_FAILED, detail=why, hint=hint)
        if state.type == flow_runs.SCHEDULED:
            return self._why_not_taken()
        if state.type == flow_runs.PENDING:
            return f"a Prefect worker of work pool {name} makes its Job"
        return ""

    def _why_not_taken(self) -> str:
        name = self._pool.name
        pool = work_pool(self._pool.api, name)
        why, fix = obstacle(pool)
        if why:
            return f"{why}; {fix}"
        limit = pool.get("concurrency_limit")
        if limit is not None:
            return f"work pool {name} runs {limit} flow runs at once"
        return f"a Prefect worker of work pool {name} takes it"


def _told(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        said = error.read().decode(errors="replace").strip()
        return f"{error.code} {error.reason} {said}".strip()[:300]
    return str(getattr(error, "reason", error))
