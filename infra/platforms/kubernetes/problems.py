"""Why Kubernetes cannot run a spec, found out before anything is made."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.models.job import ClaimedVolume, RunSpec, volume_of
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.administration.checks import operator
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, translated
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.clusters.packaging import is_in_image
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import VOLUME_CLAIM
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.settings import Settings

_OPERATOR_NAME = 53
"""Letters of a DaskCluster's name: what the operator makes of it has ten more."""


def problems_of(settings: Settings, spec: RunSpec | None) -> list[Problem]:
    """Find out whether there is a way to the API server, and whether a program can be sent.

    Args:
        settings: of this installation.
        spec: what is to be run; None: whatever it is.

    Returns:
        All that is wrong.
    """
    problems = _server_problems(settings)
    if spec is None:
        return problems
    reached = not problems
    if reached and (volume := volume_of(spec.outputs)) is not None:
        problems += _volume_problems(settings, volume)
    if reached and spec.cluster.by_operator:
        problems += _operator_problems(settings, spec)
    return [*problems, *_program_problems(spec)]


def _server_problems(settings: Settings) -> list[Problem]:
    try:
        with translated("ask for its version"):
            connected(settings).ask(Request(path="/version"), patience_s=0.0)
    except ConfigurationError as error:
        return list(error.problems)
    except EbbError as error:
        return [Problem(Reason.PLATFORM_UNUSABLE, f"{error.summary}: {error.detail}", error.hint)]
    return []


def _volume_problems(settings: Settings, volume: ClaimedVolume) -> list[Problem]:
    api = connected(settings)
    try:
        found = api.get(VOLUME_CLAIM, volume.claim)
    except ApiError:  # who may not look finds out when its pod waits for it
        return []
    phase = found.get("status", {}).get("phase") if found is not None else "missing"
    if phase not in ("missing", "Lost"):
        return []
    what = "is not there" if found is None else "has lost its volume"
    summary = f"the volume claim {volume.claim} of --outputs {what} (namespace {api.namespace})"
    hint = "kubectl get persistentvolumeclaims lists those there are; or --outputs here"
    return [Problem(Reason.OPTION_INVALID, summary, hint)]


def _operator_problems(settings: Settings, spec: RunSpec) -> list[Problem]:
    """Of what Dask's operator needs; whether it runs shows when it is asked for a cluster."""
    longest = _OPERATOR_NAME - len("-9")
    if len(spec.name) > longest:
        summary = f"Dask's operator takes names of {longest} letters at most, not {spec.name}"
        return [Problem(Reason.OPTION_INVALID, summary, "name the run by a shorter --name")]
    found = operator(connected(settings))
    if found.state == "ok":
        return []
    return [Problem(Reason.PLATFORM_UNUSABLE, f"{found.check}: {found.detail}", found.fix)]


def _program_problems(spec: RunSpec) -> list[Problem]:
    problems = []
    if not spec.cluster.pool.image(spec.cluster.framework):
        summary = f"pool {spec.cluster.pool.name} has no image for {spec.cluster.framework}"
        hint = "name one in the catalog: pools: {NAME: {images: {dask: registry/image:tag}}}"
        problems.append(Problem(Reason.CATALOG_INVALID, summary, hint))
    if spec.job is None:
        summary = "a Python session drives no cluster on Kubernetes yet"
        problems.append(Problem(Reason.OPTION_INVALID, summary, "run a program: ebb run train.py"))
    elif not is_in_image(spec.job):
        problems += translate(spec.job, Path(spec.job.workdir)).problems
    return problems
