"""Which of Ray's variables in a user's environment are not for a cluster of ours. Pure.

Ray reads several hundred: its own settings (``RAY_`` and the setting's name, in lower case) and
others. What says where a cluster is, who belongs to it, how long its parts wait for each other and
what they report comes from us. The rest passes: how tasks are scheduled, retried, logged, how much
memory they may take, the namespace, what is done to runtime environments.
"""

from __future__ import annotations

from collections.abc import Iterable

_NAMES = frozenset(
    f"RAY_{name}"
    for name in (
        # where the cluster is, and where its processes keep their files
        *("ADDRESS", "API_SERVER_ADDRESS", "OVERRIDE_DASHBOARD_URL", "GCS_SERVER_PORT"),
        *("CLIENT_MODE", "USE_RANDOM_PORTS", "TMPDIR", "TEMPDIR", "HOSTDIR"),
        # which node or job a process belongs to: left by another cluster's task or job
        *("NODE_ID", "RAYLET_PID", "JOB_ID", "JOB_CONFIG_JSON_ENV_VAR", "FAKE_CLUSTER"),
        *("CLOUD_INSTANCE_ID", "NODE_TYPE_NAME", "CLUSTER_NAME", "CLUSTER_NAMESPACE"),
        *("OVERRIDE_RESOURCES", "OVERRIDE_LABELS", "OVERRIDE_NODE_ID_FOR_TESTING"),
        *("ENABLE_WINDOWS_OR_OSX_CLUSTER", "ENABLE_GCS_LEADER_ELECTION", "START_HOOK"),
        # who may talk to it
        *("ENABLE_K8S_TOKEN_AUTH", "enable_cluster_auth", "USE_TLS", "ray_cookie"),
        # what its head is told of tasks and nodes
        *("enable_autoscaler_v2", "enable_metrics_collection", "report_worker_backlog_interval_ms"),
        *("report_actor_placement_resources", "max_resource_shapes_per_load_report"),
        *("max_placement_group_load_report_size", "scheduler_report_pinned_bytes_only"),
        *("task_events_report_interval_ms", "raylet_report_resources_period_milliseconds"),
        *("gcs_pull_resource_loads_period_milliseconds", "task_events_skip_driver_for_test"),
        *("predefined_unit_instance_resources", "custom_unit_instance_resources"),
        # where objects are spilled to
        *("object_spilling_config", "object_spilling_directory", "is_external_storage_type_fs"),
        *("automatic_object_spilling_enabled", "external_storage_namespace"),
        # when a part of it is taken for dead
        *("agent_register_timeout_ms", "py_gcs_connect_timeout_s", "subscriber_timeout_ms"),
        *("nums_py_gcs_reconnect_retry", "enable_pipe_based_agent_to_parent_health_check"),
        *("raylet_start_wait_time_s", "gcs_server_request_timeout_seconds"),
    )
)
_FAMILIES = tuple(
    f"RAY_{family}"
    for family in (
        *("AUTH_", "TLS_", "REDIS_", "redis_", "USAGE_STATS_", "NODE_MARKET_TYPE", "NODE_REGION"),
        *("NODE_ZONE", "GRACEFUL_SHUTDOWN_", "health_check_", "testing_", "gcs_storage"),
        *("gcs_rpc_server_", "gcs_server_port", "raylet_rpc_server_", "raylet_client_"),
        *("core_worker_rpc_server_", "raylet_death_check_", "raylet_liveness_self_check_"),
        *("grpc_keepalive_", "grpc_client_keepalive_", "grpc_client_idle_"),
        *("enable_core_worker_", "enable_ray_task_event", "enable_task_events_"),
    )
)


def foreign(names: Iterable[str]) -> frozenset[str]:
    """Those that would govern life, address or membership of a cluster."""
    return frozenset(name for name in names if name in _NAMES or name.startswith(_FAMILIES))
