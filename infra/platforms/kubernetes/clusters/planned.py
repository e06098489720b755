"""What ``ebb run --plan -o yaml`` prints: every object of a cluster, and nothing is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import Limits, RunSpec
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.clusters.packaging import is_sent, pack_job, scratch_folder
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.policy.lease import LONGEST_S
from ebbtide.infra.settings import Settings

_APPLIED = """Objects of run {run}. kubectl apply -f brings head and workers up. Nobody drives them:
the HPA goes by CPU and memory alone, no output is fetched, ebb ps does not know of a run.
Give all of it back with kubectl delete -f of this output: without its uid, the Lease owns nothing.
The reaper of the namespace, where there is one, does so {lasts} after it was applied.
The Secret holds keys made for this output, and the values of --secret: keep it private."""
_WAITS = "The driver waits for its code, package {digest}, which only ebb run sends."
_FETCHES = "The driver fetches its code, and runs its program as soon as the head answers."
_RUNS = "The driver runs its program, which is in the image, as soon as the head answers."


def plan_objects(
    settings: Settings, spec: RunSpec, environ: Mapping[str, str] = os.environ
) -> tuple[list[Object], str]:
    """Draw everything that a run's first cluster would be.

    Args:
        settings: of this installation; which namespace it is.
        spec: of the run.
        environ: where the values of its secrets are.

    Returns:
        The objects in the order in which they are made, and what to know about them.

    Raises:
        ConfigurationError: there are no credentials; or there is more code than may be sent.
    """
    digest, cluster = _digest(settings, spec), ClusterId(f"{spec.name}-1")
    namespace = connected(settings).namespace
    lasts_s = _lasts_s(spec.limits)
    lasting = replace(spec, lease_s=lasts_s)
    blueprint = Blueprint.of(lasting, cluster, namespace, digest, environ)
    things = blueprint.objects()
    if blueprint.scales:
        things.append(blueprint.autoscaler())
    if spec.job is not None:
        things.append(blueprint.driver(told_to_begin=False))
    told = [_APPLIED.format(run=spec.name, lasts=format_duration(lasts_s))]
    if spec.job is not None:
        otherwise = _FETCHES if spec.job.code else _RUNS
        told.append(_WAITS.format(digest=digest[:12]) if digest else otherwise)
    return things, "\n".join(told)


def _lasts_s(limits: Limits) -> float:
    """How long an applied Lease is good for: nobody will renew it."""
    if limits.time_limit_s is None:
        return LONGEST_S
    return min(LONGEST_S, limits.start_within_s + limits.time_limit_s)


def _digest(settings: Settings, spec: RunSpec) -> str:
    """Of the code that would be sent; empty when an image has all."""
    if spec.job is None or not is_sent(spec.job):
        return ""
    with scratch_folder() as folder:
        return pack_job(spec.job, folder, settings.home).digest
