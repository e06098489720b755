"""One cluster from request to release: steps 1 to 5, what it is wanted for, then step 7.

An attempt of a run, a script's ``cluster`` and one that a flow holds all begin and end here.
Does not belong here: what is done with the cluster, and whether another follows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from ebbtide.infra.errors import EbbError, ReleaseError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.heartbeat import Heartbeat
from ebbtide.infra.lifecycle.steps import Attempt
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records import runs
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings


class SevenSteps(Protocol):
    """``tasks.steps`` or ``infra.lifecycle.steps``."""

    def request_hardware_tier(self, attempt: Attempt) -> Any:
        """Step 1."""
        ...

    def wait_for_nodes(self, attempt: Attempt) -> Any:
        """Step 2."""
        ...

    def start_head(self, attempt: Attempt) -> Any:
        """Step 3."""
        ...

    def start_workers(self, attempt: Attempt) -> Any:
        """Step 4."""
        ...

    def attach_autoscaler(self, attempt: Attempt) -> Any:
        """Step 5."""
        ...

    def run_user_job(self, attempt: Attempt) -> Any:
        """Step 6."""
        ...

    def tear_down(self, attempt: Attempt, reason: Reason | None) -> Any:
        """Step 7."""
        ...


@dataclass(frozen=True, slots=True)
class Suspension:
    """How a session is left that goes on later: that is no failure, and its cluster may stay."""

    signal: type[BaseException]
    """What is raised then."""
    keep: Callable[[], bool]
    """Lets the lease last meanwhile, and returns whether it does; else the cluster is released."""


def _nothing(_failure: BaseException | None) -> None:
    """For whoever has nothing to do at the end."""


@contextlib.contextmanager
def provisioned(
    settings: Settings,
    attempt: Attempt,
    seven: SevenSteps,
    *,
    suspension: Suspension | None = None,
    ended: Callable[[BaseException | None], None] = _nothing,
) -> Iterator[ClusterView]:
    """A cluster for as long as the block lasts; released however the block is left.

    Its lease is renewed from before it is requested until it is released. A release that fails is
    never raised in place of what the block has raised.

    Args:
        settings: of this installation.
        attempt: whose cluster it is. One that exists is adopted.
        seven: the steps, as Prefect tasks or plain.
        suspension: how the block may be left for a while; None: in no way.
        ended: called when the cluster has been released (or that was ordered), with what the block
            has raised; None when it ended well or was suspended. Not called for one that is kept.

    Yields:
        What the cluster was when its autoscaler had been attached.

    Raises:
        CapacityError: there was no room in time.
        ProvisioningError: head or workers did not come.
        ReleaseError: INCOMPLETE, when something resisted, and nothing else went wrong.
    """
    failure: BaseException | None = None
    with Heartbeat(settings, attempt.spec.platform, attempt.cluster, attempt.spec.lease_s):
        try:
            yield _start(attempt, seven)
        except BaseException as error:
            failure = error
            raise
        finally:
            suspended = suspension is not None and isinstance(failure, suspension.signal)
            if suspension is None or not suspended or not _kept(suspension):
                try:
                    _release(attempt, seven, _reason(failure, suspended), raises=failure is None)
                finally:
                    ended(None if suspended else failure)


def _kept(suspension: Suspension) -> bool:
    """Whether the cluster stays meanwhile; one of which that cannot be recorded is released."""
    try:
        return suspension.keep()
    except EbbError:
        return False


def session(
    settings: Settings,
    store: RunStore,
    attempt: Attempt,
    seven: SevenSteps,
    *,
    driver: str,
    suspension: Suspension | None = None,
) -> AbstractContextManager[ClusterView]:
    """A provisioned cluster that the caller's code drives; the end of the block ends its run.

    Args:
        settings: of this installation.
        store: with the run; used in this thread.
        attempt: whose cluster it is.
        seven: the steps, as Prefect tasks or plain.
        driver: in whose name an error of the block is told, such as ``the flow``.
        suspension: how the block may be left for a while; a cluster that is kept keeps its run.

    Returns:
        A context manager that yields what the cluster is, and raises what ``provisioned`` does.
    """
    ended = partial(_record_end, store, attempt.spec.name, driver)
    return provisioned(settings, attempt, seven, suspension=suspension, ended=ended)


def _start(attempt: Attempt, seven: SevenSteps) -> ClusterView:
    """Steps 1 to 5."""
    seven.request_hardware_tier(attempt)
    seven.wait_for_nodes(attempt)
    seven.start_head(attempt)
    seven.start_workers(attempt)
    seven.attach_autoscaler(attempt)
    return steps.look(attempt)


def _reason(failure: BaseException | None, suspended: bool) -> Reason | None:
    """Why a cluster is released; None when all went well."""
    if failure is None or suspended:
        return None
    return failure.reason if isinstance(failure, EbbError) else Reason.CANCELLED


def _release(attempt: Attempt, seven: SevenSteps, reason: Reason | None, *, raises: bool) -> None:
    """Step 7; ``raises``: whether a release that stays incomplete is an error."""
    try:
        seven.tear_down(attempt, reason)
    except ReleaseError:
        if raises:
            raise
    except BaseException:
        # Told to go while it releases: the order stands, and the platform carries it out.
        if attempt.platform.claim(attempt.cluster):
            attempt.platform.release(attempt.cluster, reason or Reason.CANCELLED)
        raise


def _record_end(store: RunStore, run: RunName, driver: str, failure: BaseException | None) -> None:
    error = runs.session_error(failure, driver) if failure is not None else None
    runs.end(store, run, error, error.exit_code if error else 0)
