"""One Prefect task a step.

A task retry repeats the step on the same cluster; a fresh cluster is the flow's business. Nothing
is cached: a cached handle can name a dead cluster.
"""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext

from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.steps import Attempt
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import Reason, Step


def _same_cluster_may_do(_task: Any, _run: TaskRun, state: State[Any]) -> bool:
    """Prefect's retry condition: only where the cluster is still there to try again on."""
    try:
        state.result()
    except Exception as error:  # whatever the step raised is the question here
        return steps.repeatable(error)
    return False


_RETRIED: dict[str, Any] = {
    "retries": 1,
    "retry_delay_seconds": 1,
    "retry_condition_fn": _same_cluster_may_do,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}
_ONCE: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False}


def _second_try() -> bool:
    context = TaskRunContext.get()
    return context is not None and context.task_run.run_count > 1


@task(name=Step.REQUEST_HARDWARE_TIER.value, task_run_name="request_hardware_tier", **_ONCE)
def request_hardware_tier(attempt: Attempt) -> None:
    """Step 1: declare head and first workers; the run queues for room."""
    steps.request_hardware_tier(attempt)


@task(name=Step.WAIT_FOR_NODES.value, task_run_name="wait_for_nodes", **_ONCE)
def wait_for_nodes(attempt: Attempt) -> None:
    """Step 2: wait until every declared process has its share."""
    steps.wait_for_nodes(attempt)


@task(name=Step.START_HEAD.value, task_run_name="start_head", **_RETRIED)
def start_head(attempt: Attempt) -> ClusterView:
    """Step 3: wait until the head answers."""
    if _second_try():
        steps.repeat(attempt, Step.START_HEAD)
    return steps.start_head(attempt)


@task(name=Step.START_WORKERS.value, task_run_name="start_workers", **_RETRIED)
def start_workers(attempt: Attempt) -> None:
    """Step 4: wait until the first workers have registered."""
    if _second_try():
        steps.repeat(attempt, Step.START_WORKERS)
    steps.start_workers(attempt)


@task(name=Step.ATTACH_AUTOSCALER.value, task_run_name="attach_autoscaler", **_ONCE)
def attach_autoscaler(attempt: Attempt) -> None:
    """Step 5: let the load decide the number of workers."""
    steps.attach_autoscaler(attempt)


@task(name=Step.RUN_USER_JOB.value, task_run_name="run_user_job", **_ONCE)
def run_user_job(attempt: Attempt) -> ClusterView:
    """Step 6: wait until the user's program has ended."""
    return steps.run_user_job(attempt)


@task(name=Step.TEAR_DOWN.value, task_run_name="tear_down", **_ONCE)
def tear_down(attempt: Attempt, reason: Reason | None) -> None:
    """Step 7: release everything, and prove that nothing is left."""
    steps.tear_down(attempt, reason)
