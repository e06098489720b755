"""A shell full of another Ray's variables: the cluster is ours, the user's settings are his."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clusters import carried_out, run_spec, script
from tests.contract.conftest import small

FOREIGN = {
    "RAY_ADDRESS": "203.0.113.9:6379",
    "RAY_REDIS_ADDRESS": "203.0.113.9:6379",
    "RAY_AUTH_TOKEN": "another",
    "RAY_USE_TLS": "1",
    "RAY_TMPDIR": "/nowhere",
    "RAY_GCS_SERVER_PORT": "1",
    "RAY_CLIENT_MODE": "1",
    "RAY_CLOUD_INSTANCE_ID": "another",
    "RAY_OVERRIDE_RESOURCES": '{"CPU": 9}',
    "RAY_JOB_CONFIG_JSON_ENV_VAR": '{"runtime_env": {"working_dir": "/nowhere"}}',
    "RAY_health_check_period_ms": "1",
    "RAY_health_check_timeout_ms": "1",
    "RAY_gcs_rpc_server_connect_timeout_s": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_enable_autoscaler_v2": "0",
}
USERS = {"RAY_max_direct_call_object_size": "10", "OMP_NUM_THREADS": "3"}

PROGRAM = """
    import os
    import ray

    @ray.remote
    def environ():
        return dict(os.environ)

    def seen(environ):
        names = "RAY_max_direct_call_object_size", "OMP_NUM_THREADS"
        return [environ.get(name) for name in names]

    ray.init()
    task = ray.get(environ.remote())
    nodes = [node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]]
    print(sorted(set(nodes)))  # of its head and of a worker, or of as many as have come
    print(seen(os.environ), seen(task))
    print([name for name in ("RAY_TMPDIR", "RAY_AUTH_TOKEN") if name in {**os.environ, **task}])
    """


def test_another_ray_s_variables_govern_nothing_and_the_user_s_settings_everything(
    ebb_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**FOREIGN, **USERS}.items():
        monkeypatch.setenv(name, value)
    outcome = carried_out(ebb_home, run_spec("hostile", small("ray"), script(tmp_path, PROGRAM)))
    assert outcome.error is None, outcome.errors()
    assert outcome.output() == "[0, 1.0]\n['10', '3'] ['10', '3']\n[]\n"
