"""What every framework promises, on a real Kubernetes: what of it is not about processes."""

from __future__ import annotations

from tests.contract.test_demand_contract import (
    outcome,
    test_queued_work_that_can_never_run_does_not_keep_the_cluster,
    test_tasks_that_only_wait_bring_workers_when_they_are_many,
    test_what_can_never_run_is_told_with_what_there_is,
    test_work_that_reserves_before_it_computes_brings_its_workers,
)
from tests.contract.test_framework_contract import (
    test_idle_cluster_is_warned_about_and_then_released,
    test_out_of_memory_names_the_worker_its_peak_and_its_limit,
)
from tests.contract.test_kept_contract import (
    test_last_words_of_tasks_are_kept_and_so_is_what_the_framework_tells_of_them,
)

__all__ = [
    "outcome",
    "test_idle_cluster_is_warned_about_and_then_released",
    "test_last_words_of_tasks_are_kept_and_so_is_what_the_framework_tells_of_them",
    "test_out_of_memory_names_the_worker_its_peak_and_its_limit",
    "test_queued_work_that_can_never_run_does_not_keep_the_cluster",
    "test_tasks_that_only_wait_bring_workers_when_they_are_many",
    "test_what_can_never_run_is_told_with_what_there_is",
    "test_work_that_reserves_before_it_computes_brings_its_workers",
]
