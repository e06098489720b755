"""What tests order of the pool controller: pools, timers, what goes wrong with a pool, and back."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

import yaml
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from tests.helpers import wait_until
from tests.kubernetes.lab.pools.cluster import NAME, ORDERS, POOL, SPACE, STATUS, TIMERS
from tests.kubernetes.lab.pools.values import MARK, Pool, Timers

OUT_OF_RESOURCES, QUOTA_EXCEEDED = "OUT_OF_RESOURCES", "QUOTA_EXCEEDED"
_NOT_FOUND = 404
_GONE_TIMEOUT_S = 60

QUICK = Timers(
    scan_s=0.5,
    unneeded_s=2,
    unready_s=4,
    after_growth_s=1,
    after_failure_s=1,
    provision_s=15,  # a machine that does much else must not be late
    backoff_s=4,
    most_backoff_s=16,
    after_taint_s=0.5,
    drain_s=20,
)
"""For tests: seconds instead of minutes, in the same order of size."""


def make_pool(api: client.ApiClient, pool: Pool) -> None:
    """Make a pool, or change one."""
    _order(api, {POOL + pool.name: json.dumps(asdict(pool))})


def delete_pool(api: client.ApiClient, name: str) -> None:
    """Take a pool away, and wait until its nodes have gone."""
    _order(api, {POOL + name: None})
    core = client.CoreV1Api(api)
    wait_until(
        lambda: not core.list_node(label_selector=f"{MARK}={name}").items,
        _GONE_TIMEOUT_S,
        f"the nodes of pool {name} have gone",
    )


def set_timers(api: client.ApiClient, timers: Timers) -> None:
    """Let the controller be as quick as this."""
    _order(api, {TIMERS: json.dumps(asdict(timers))})


@contextlib.contextmanager
def failing(api: client.ApiClient, pool: Pool, fault: str) -> Iterator[None]:
    """A pool's orders fail: with an error code of the cloud, or ``values.NO_BOOT``."""
    make_pool(api, replace(pool, fault=fault))
    try:
        yield
    finally:
        make_pool(api, pool)


def status_of(api: client.ApiClient, pool: str) -> dict[str, Any]:
    """A pool in the status ConfigMap; empty when it is not there."""
    try:
        found = client.CoreV1Api(api).read_namespaced_config_map(STATUS, SPACE)
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        return {}
    groups: list[dict[str, Any]] = yaml.safe_load(found.data["status"])["nodeGroups"]
    return next((group for group in groups if group["name"] == pool), {})


def said_of(api: client.ApiClient, space: str, name: str = "") -> list[tuple[str, str]]:
    """Reason and message of the autoscaler's events in a namespace (on one object), in order."""
    events = client.CoreV1Api(api).list_namespaced_event(space).items
    ours = [each for each in events if each.source and each.source.component == NAME]
    ours = [each for each in ours if name in ("", each.involved_object.name)]
    ours.sort(key=lambda each: str(each.last_timestamp))
    return [(each.reason, each.message) for each in ours]


def _order(api: client.ApiClient, data: dict[str, str | None]) -> None:
    core, body = client.CoreV1Api(api), {"metadata": {"name": ORDERS}, "data": data}
    try:
        core.patch_namespaced_config_map(ORDERS, SPACE, body)
    except ApiException as error:
        if error.status != _NOT_FOUND:
            raise
        core.create_namespaced_config_map(
            SPACE, {**body, "data": {k: v for k, v in data.items() if v}}
        )
