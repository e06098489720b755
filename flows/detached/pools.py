"""Which work pool a detached run's flow goes to, and why to none. Imports no Prefect."""

from __future__ import annotations

import urllib.error
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.flows.detached import template
from ebbtide.flows.prefect_server.api import Api, is_loopback, named
from ebbtide.flows.service.prefect_http import ask, work_pool
from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.models.phases import Reason

VARIABLE = "EBB_WORK_POOL"
"""The name of a work pool; ``off``: none."""
TYPE = "kubernetes"
PRINTED = "ebb doctor --platform kubernetes --print work-pool"
_OFF = ("off", "no", "false", "0")
_SERVER = "set PREFECT_API_URL, as a pod reaches it too"
_MANY = 200
_NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class WorkPool:
    """One that takes the flow run of a detached run."""

    api: Api
    name: str


@dataclass(frozen=True, slots=True)
class Choice:
    """Of a detached run's flow: a work pool, or none and why."""

    pool: WorkPool | None = None
    why: str = ""
    """Why none; empty where nobody has asked for Prefect."""
    turned_off: bool = False
    """Whether it was said that none is to be."""


def choose(environ: Mapping[str, str], namespace: str) -> Choice:
    """Find the work pool whose Prefect workers start flows of detached runs.

    One that was named must do; one that was only found is left alone when it does not.

    Args:
        environ: names Prefect's server, and perhaps the work pool.
        namespace: in which the flow is to live.

    Returns:
        The work pool, or why there is none.

    Raises:
        ConfigurationError: the one that is named is not there, or cannot take such a flow run.
        ProvisioningError: PREFECT_UNREACHABLE, the server did not answer.
    """
    wanted, api = environ.get(VARIABLE, ""), named(environ)
    if wanted.lower() in _OFF:
        return Choice(why=f"{VARIABLE}={wanted}", turned_off=True)
    if api is None:
        if wanted:
            raise _wrong(f"{VARIABLE} is {wanted}, and no Prefect server is named", _SERVER)
        return Choice()
    if not wanted and is_loopback(api.url):
        why = f"a pod does not reach Prefect's server at {api.url}, this machine's loopback"
        return Choice(why=f"{why}; where that is a forwarded port, {VARIABLE}=NAME takes a pool")
    try:
        found = _named(api, wanted) if wanted else _of_type(api)
    except (OSError, ValueError) as error:
        detail = f"{api.url}: {getattr(error, 'reason', error)}"
        raise ProvisioningError(Reason.PREFECT_UNREACHABLE, detail=detail) from error
    if len(found) != 1:
        return Choice(why=_not_one(api, found))
    (pool,) = found
    wrong, hint = _unfit(pool, namespace)
    if wrong and wanted:
        raise _wrong(wrong, hint)
    return Choice(why=f"{wrong}: {hint}") if wrong else Choice(WorkPool(api, pool["name"]))


def obstacle(pool: Mapping[str, Any]) -> tuple[str, str]:
    """Read why a work pool starts no flow run now.

    Args:
        pool: as Prefect's server has it.

    Returns:
        Why, and the command that mends it; both empty when a live Prefect worker takes them.
    """
    name = pool["name"]
    if pool.get("is_paused"):
        return f"work pool {name} is paused", f"prefect work-pool resume {name}"
    if pool.get("status") == "NOT_READY":
        start = f"prefect worker start --type {TYPE} --pool {name}, in the cluster"
        return f"work pool {name} has no live Prefect worker", start
    return "", ""


def _named(api: Api, name: str) -> list[dict[str, Any]]:
    try:
        return [work_pool(api, name)]
    except urllib.error.HTTPError as error:
        if error.code != _NOT_FOUND:
            raise
    there = ", ".join(str(pool["name"]) for pool in _of_type(api)) or "none"
    raise _wrong(
        f"{VARIABLE} is {name}, and {api.url} has no such work pool",
        f"those of type {TYPE}: {there}",
    )


def _of_type(api: Api) -> list[dict[str, Any]]:
    body = {"work_pools": {"type": {"any_": [TYPE]}}, "limit": _MANY}
    return list(ask(api, "work_pools/filter", body))


def _not_one(api: Api, found: list[dict[str, Any]]) -> str:
    if not found:
        return f"{api.url} has no work pool of type {TYPE}"
    names = ", ".join(str(pool["name"]) for pool in found)
    return f"{api.url} has several work pools of type {TYPE} ({names}): {VARIABLE} says which"


def _unfit(pool: Mapping[str, Any], namespace: str) -> tuple[str, str]:
    """Why a work pool cannot take the flow run, and what to do; both empty when it can."""
    name, jobs = pool["name"], pool.get("base_job_template")
    if pool["type"] != TYPE:
        return f"work pool {name} is of type {pool['type']}", f"name one of type {TYPE}"
    if not isinstance(jobs, dict) or not template.is_ours(jobs):
        hint = f"{PRINTED} prints a base job template for one"
        return f"work pool {name} has no base job template of Ebb's", hint
    fixed = template.fixed_namespace(jobs)
    if fixed not in ("", namespace):
        hint = f"--namespace {fixed}, or a work pool for {namespace}"
        return f"work pool {name} makes its Jobs in namespace {fixed}, not in {namespace}", hint
    return "", ""


def _wrong(summary: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
