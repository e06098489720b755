"""Whether the work pool that flows of detached runs would go to takes them. Imports no Prefect."""

from __future__ import annotations

from collections.abc import Mapping

from ebbtide.flows.detached.pools import PRINTED, TYPE, VARIABLE, choose, obstacle
from ebbtide.flows.service.prefect_http import work_pool
from ebbtide.infra.errors import ConfigurationError, EbbError
from ebbtide.infra.platforms.extras import Finding

_CHECK = "work pool"
_NAME_ONE = f"{VARIABLE}=NAME names one, {VARIABLE}=off none; {PRINTED} prints a template for one"


def findings(environ: Mapping[str, str], namespace: str) -> list[Finding]:
    """Look at the work pool that detached runs would use.

    Args:
        environ: names Prefect's server, and perhaps the work pool.
        namespace: in which flows are to live.

    Returns:
        One finding: ``missing`` where ``ebb run --detach`` would be refused, a warning where it
        would wait or go on without Prefect; none where nobody has asked for Prefect.
    """
    try:
        choice = choose(environ, namespace)
        if choice.pool is None:
            if choice.turned_off:
                return [Finding(_CHECK, "ok", f"{choice.why}: detached runs are not in Prefect")]
            detail = f"{choice.why}: detached runs are not recorded in Prefect"
            return [Finding(_CHECK, "warning", detail, _NAME_ONE)] if choice.why else []
        pool = choice.pool
        wrong, fix = obstacle(work_pool(pool.api, pool.name))
    except ConfigurationError as error:
        first = error.problems[0]
        return [Finding(_CHECK, "missing", first.summary, first.hint)]
    except EbbError as error:
        return [Finding(_CHECK, "missing", f"{error.summary}: {error.detail}", error.hint)]
    except (OSError, ValueError) as error:
        return [Finding(_CHECK, "missing", f"{pool.api.url}: {error}", "see Prefect's server")]
    if wrong:
        return [Finding(_CHECK, "warning", wrong, fix)]
    told = f"{pool.name} of {pool.api.url}, of type {TYPE}, with a live Prefect worker"
    return [Finding(_CHECK, "ok", told)]
