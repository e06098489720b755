"""The base job template of a work pool whose Prefect workers start flows of detached runs.

It is the Job that ebb makes itself where there is no such pool, with what Prefect's worker insists
on. Whose run it is comes in variables; an administrator may change all the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ebbtide.infra.platforms.extras import FlowOrder, flow_job_on

MODULE = "ebbtide.flows.detached"
IMAGE = "prefect"
"""Of the catalog's images: the one with Prefect and our flows in it."""
NAMESPACE = "namespace"
_OURS = {
    "ebb_run": "The run whose flow it is",
    "ebb_digest": "Of the code that is sent to it",
    "ebb_hand_over_s": "The Job ends after so many seconds, unless its pod has the run by then",
}
_PREFECTS = ("annotations", "cluster_config", "command", "env", "labels", "name")
_GRACE_S = 30
"""One whose flow run is being cancelled has the time to release its cluster."""
_MEMORY = "1Gi"


def base_job_template(platform: str, environ: Mapping[str, str], cwd: Path) -> str:
    """Write down the base job template of a work pool.

    Args:
        platform: on which the flows live.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        JSON, as ``prefect work-pool create --base-job-template`` reads it.

    Raises:
        ConfigurationError: no flow can live there; or the catalog cannot be read.
    """
    whose = FlowOrder(*map(_placeholder, _OURS))
    job = flow_job_on(platform, whose, MODULE, IMAGE, environ, cwd)
    job["metadata"][NAMESPACE] = _placeholder(NAMESPACE)
    pod = job["spec"]["template"]["spec"]
    # Prefect's worker refuses a Job that has not got all of these, where it looks for them.
    pod |= {"restartPolicy": "Never", "parallelism": 1, "completions": 1}
    pod["terminationGracePeriodSeconds"] = _GRACE_S
    (container,) = pod["containers"]
    container["name"] = "prefect-job"
    container["resources"]["limits"]["memory"] = _MEMORY
    mine = {name: {"title": name, "description": told} for name, told in _OURS.items()}
    names = (*_PREFECTS, NAMESPACE)
    template = {
        "job_configuration": {
            **{name: _placeholder(name) for name in names},
            "job_manifest": job,
        },
        "variables": {
            "type": "object",
            "properties": {**{name: {"title": name} for name in names}, **mine},
            "required": list(_OURS),
        },
    }
    return json.dumps(template, indent=2) + "\n"


def variables(order: FlowOrder, namespace: str) -> dict[str, Any]:
    """The job variables of one flow run: no code, no secret, nothing of what the run was asked."""
    return dict(zip(_OURS, (order.run, order.digest, order.hand_over_s), strict=True)) | {
        NAMESPACE: namespace
    }


def is_ours(template: Mapping[str, Any]) -> bool:
    """Whether the Jobs of a work pool can be flows of detached runs."""
    text = json.dumps(_manifest(template))
    return all(_placeholder(name) in text for name in _OURS)


def fixed_namespace(template: Mapping[str, Any]) -> str:
    """The namespace that a work pool's Jobs are in whoever asks; empty: in that of the run."""
    configured = (template.get("job_configuration") or {}).get(NAMESPACE) or ""
    of_job = (_manifest(template).get("metadata") or {}).get(NAMESPACE) or ""
    found = next((each for each in (configured, of_job) if each != _placeholder(NAMESPACE)), "")
    return str(found)


def _manifest(template: Mapping[str, Any]) -> Mapping[str, Any]:
    found = (template.get("job_configuration") or {}).get("job_manifest")
    return found if isinstance(found, dict) else {}


def _placeholder(name: str) -> str:
    return f"{{{{ {name} }}}}"
