"""Which of Ray's variables reach a cluster, and which are refused before it is made."""

from __future__ import annotations

import os
import sys

import pytest

from ebbtide.infra.frameworks.ray.variables.foreign import foreign
from ebbtide.infra.frameworks.ray.variables.unreadable import unreadable


@pytest.mark.parametrize(
    "name",
    [
        *("RAY_ADDRESS", "RAY_REDIS_ADDRESS", "RAY_GCS_SERVER_PORT", "RAY_TMPDIR"),
        *("RAY_AUTH_TOKEN", "RAY_AUTH_MODE", "RAY_USE_TLS", "RAY_TLS_CA_CERT"),
        *("RAY_OVERRIDE_RESOURCES", "RAY_CLOUD_INSTANCE_ID", "RAY_JOB_CONFIG_JSON_ENV_VAR"),
        *("RAY_health_check_period_ms", "RAY_gcs_rpc_server_reconnect_timeout_s"),
        *("RAY_task_events_report_interval_ms", "RAY_object_spilling_config"),
    ],
)
def test_what_governs_life_address_or_membership_is_foreign(name: str) -> None:
    assert foreign([name, "HOME"]) == {name}


@pytest.mark.parametrize(
    "name",
    [
        *("RAY_NAMESPACE", "RAY_DEDUP_LOGS", "RAY_LOG_TO_DRIVER", "RAY_DEBUG", "RAY_PROFILING"),
        *("RAY_scheduler_spread_threshold", "RAY_max_direct_call_object_size"),
        *("RAY_memory_usage_threshold", "RAY_memory_monitor_refresh_ms", "RAY_task_oom_retries"),
        *("RAY_RUNTIME_ENV_HOOK", "RAY_TRAIN_V2_ENABLED", "RAY_DATA_PUSH_BASED_SHUFFLE"),
        *("OMP_NUM_THREADS", "REDIS_ADDRESS"),
    ],
)
def test_what_the_user_s_program_is_about_passes(name: str) -> None:
    assert not foreign([name])


def test_setting_that_ray_cannot_read_is_refused_by_its_name() -> None:
    environ = {**os.environ, "RAY_num_workers_soft_limit": "many", "RAY_task_oom_retries": "2"}
    (problem,) = unreadable(environ, sys.executable)
    assert problem.summary.startswith("Ray cannot read RAY_num_workers_soft_limit=many")


def test_settings_that_ray_can_read_are_none_of_our_business() -> None:
    assert not unreadable({**os.environ, "RAY_task_oom_retries": "2"}, sys.executable)
    assert not unreadable({"RAY_health_check_period_ms": "x"}, sys.executable)
