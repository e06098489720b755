"""In the program: ``ray.init`` as a laptop spells it connects to the run's cluster.

Only ``ray.init`` is changed. What it is told about the size and the place of a Ray that it would
start is left out where it connects; what starts a Ray of the program's own is noted, or led to the
cluster with ``--bridge``.
"""

from __future__ import annotations

import functools
import inspect
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from ebbtide.infra.frameworks.bootstrap import bridged, note, say
from ebbtide.infra.frameworks.plan import task_modules_of

_ADDRESS = "RAY_ADDRESS"
_SETUP = "worker_process_setup_hook"
"""Of a runtime environment: what Ray calls in a process before its first task."""
_OF_A_NEW_CLUSTER = (
    *("num_cpus", "num_gpus", "resources", "labels", "object_store_memory", "_memory"),
    *("include_dashboard", "dashboard_host", "dashboard_port"),
    *("enable_resource_isolation", "cgroup_path", "system_reserved_cpu", "system_reserved_memory"),
    *("_system_config", "_enable_object_reconstruction", "_node_name", "_node_ip_address"),
    *("_temp_dir", "_plasma_directory", "_object_spilling_directory"),
    *("_redis_username", "_redis_password", "_metrics_export_port", "proxy_server_url"),
)
"""Ray 2.60 refuses most of them beside an existing cluster, ignores others, and looks for the
cluster's node by ``_node_ip_address``."""


def install() -> None:
    """Change ``ray.init`` of this process."""
    import ray
    from ray._private import worker

    ours = os.environ.get(_ADDRESS)
    if ours:
        ray.init = worker.init = changed(ray.init, ours)


def changed(init: Callable[..., Any], ours: str) -> Callable[..., Any]:
    """``ray.init`` for a program that has the cluster at this address."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def connect(*args: Any, **kwargs: Any) -> Any:
        try:
            given = signature.bind(*args, **kwargs).arguments
        except TypeError:
            return init(*args, **kwargs)  # says itself what is wrong
        given.update(given.pop("kwargs", {}))
        where = _where(given.get("address"))
        if not _is(where, ours) and bridged():
            say(f"{_spelling(given)} is led to the cluster of this run: --bridge")
            given["address"] = where = ours
        if not _is(where, ours):
            context = init(**given)
            note("own-cluster", what=f"its own Ray: {_spelling(given)}")
            return context
        return init(**with_modules(_without(given, signature.parameters)))

    return connect


def with_modules(given: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Any:
    """Let the processes of tasks fetch the program's package before their first task.

    Args:
        given: the arguments of ``ray.init``.
        environ: says which package it is; without one nothing is changed.

    Returns:
        The arguments. One with a hook of its own, or with a ``job_config``, keeps that alone.
    """
    modules, users = task_modules_of(environ), given.get("runtime_env") or {}
    if modules is None:
        return given
    if given.get("job_config") is not None or users.get(_SETUP):
        say(
            f"tasks do not find modules that lie beside this program: ray.init has a {_SETUP} or"
            " a job_config of its own; py_modules of its runtime_env brings them"
        )
        return given
    variables = {**(users.get("env_vars") or {}), **modules.variables}
    hook = f"{__package__}.task_process.import_modules"
    return {**given, "runtime_env": {**users, _SETUP: hook, "env_vars": variables}}


def _where(address: str | None) -> str:
    """As Ray finds it; ``local`` where it would start one."""
    if address in (None, "auto"):
        return os.environ.get(_ADDRESS) or "local"
    return str(address)


def _is(address: str, ours: str) -> bool:
    (host, _, port), (our_host, _, our_port) = address.rpartition(":"), ours.rpartition(":")
    if port != our_port or "://" in address:
        return False
    try:
        return host == our_host or socket.gethostbyname(host) == our_host
    except OSError:
        return False


def _without(
    given: Mapping[str, Any], parameters: Mapping[str, inspect.Parameter]
) -> dict[str, Any]:
    """The arguments that mean something beside a cluster; says which are left out."""
    usual = {name: parameter.default for name, parameter in parameters.items()}
    left_out = [
        name for name in _OF_A_NEW_CLUSTER if name in given and given[name] != usual.get(name)
    ]
    if left_out:
        named = ", ".join(f"{name}=…" for name in left_out)
        say(
            f"ray.init({named}) connects to the cluster of this run:"
            " its size comes from --workers and --tier"
        )
    return {name: value for name, value in given.items() if name not in _OF_A_NEW_CLUSTER}


def _spelling(given: Mapping[str, Any]) -> str:
    address = given.get("address")
    return "ray.init()" if address is None else f'ray.init(address="{address}")'
