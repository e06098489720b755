"""A flow registers its process, so that its death is noticed and its runs are seen in Prefect."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled, Crashed, Failed

from ebbtide.infra.errors import EbbError
from ebbtide.infra.escaping import visible
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.processes.identity import this_process
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings
from ebbtide.tasks.plain_logs import message_of, without_tracebacks
from ebbtide.tasks.report import Report, Subject


def register_process(settings: Settings) -> str:
    """Record that this process is the calling flow run. Returns the flow run's id."""
    without_tracebacks()
    id_ = flow_run.get_id() or ""
    store = open_store(settings)
    store.register_process(id_, flow_run.get_name() or "", this_process())
    store.close()
    return id_


def reporting(settings: Settings) -> Callable[[RunName], Report]:
    """Return a function from a run to its report in the calling flow run."""
    id_, logger = UUID(flow_run.get_id()), get_run_logger()

    def watch(run: RunName) -> Report:
        stop = partial(stop_run, settings, run, Reason.CANCELLED)
        return Report(Subject(settings, run, id_, logger, stop))

    return watch


def ended_by(error: EbbError) -> State[Any]:
    """Return the state of a flow run whose run ended with this error; it says what to do.

    Whoever called the flow directly gets the error itself.
    """
    if error.reason.info.phase is Phase.CANCELLED:
        return Cancelled(message=visible(str(error)))
    get_run_logger().error(message_of(error))
    if error.reason is Reason.STARTER_LOST:  # nothing has failed: a process of its was killed
        return Crashed(message=message_of(error), data=error)
    return Failed(message=message_of(error), data=error)
