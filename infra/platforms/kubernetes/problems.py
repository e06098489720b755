"""Why Kubernetes cannot run a spec, found out before anything is made."""

from __future__ import annotations

import contextlib
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER, known_frameworks, load_framework
from ebbtide.infra.models.job import ClaimedVolume, RunSpec, volume_of
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.administration.checks import operator
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, translated
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.clusters.packaging import is_in_image
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import PRIORITY_CLASS, VOLUME_CLAIM
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.request.hints import did_you_mean
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
    if reached:
        problems += _priority_problems(settings, spec)
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


def _priority_problems(settings: Settings, spec: RunSpec) -> list[Problem]:
    """Of PriorityClasses that are not there; who may not look learns it from a pod's refusal."""
    tiers = (spec.cluster.tier, spec.cluster.head_tier)
    named = dict.fromkeys(filter(None, (tier.priority for tier in tiers)))
    if not named:
        return []
    api = connected(settings)
    try:
        wrong = [name for name in named if api.get(PRIORITY_CLASS, name) is None]
    except ApiError:
        return []
    there: list[str] = []
    with contextlib.suppress(ApiError):
        listed = api.list(PRIORITY_CLASS).items if wrong else []
        there = sorted(each["metadata"]["name"] for each in listed)
    known = f"there are: {', '.join(there)}" if there else "kubectl get priorityclasses lists them"
    return [
        Problem(
            Reason.OPTION_INVALID,
            f"no PriorityClass is named {name} (--priority, or priority of the tier in ebb.yaml)",
            f"{did_you_mean(name, there)} {known}".strip(),
        )
        for name in wrong
    ]


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


def _framework_problems(spec: RunSpec) -> list[Problem]:
    """Of a framework that does not run there, has no image, or whose members do not fit.

    What is installed beside us does not matter: pods have their image's.
    """
    name, pool = spec.cluster.framework, spec.cluster.pool
    problems = []
    if not pool.image(name):
        summary = f"pool {pool.name} has no image for {name}"
        image = f"{pool.name}: {{images: {{{name}: registry/image:tag}}}}"
        hint = f"name one in the catalog: pools: {{{image}}}"
        problems.append(Problem(Reason.CATALOG_INVALID, summary, hint))
    if name == WITHOUT_CLUSTER:
        return problems
    framework = load_framework(name)
    if framework.on_pods:
        return [*problems, *framework.too_small(spec.cluster)]
    others = (each for each in known_frameworks() if each != WITHOUT_CLUSTER)
    there = (f"--framework {each}, or " for each in others if load_framework(each).on_pods)
    summary = f"{name} does not run on Kubernetes yet"
    hint = f"{''.join(there)}--platform local"
    return [Problem(Reason.OPTION_INVALID, summary, hint)]


def _program_problems(spec: RunSpec) -> list[Problem]:
    problems = _framework_problems(spec)
    if spec.job is not None and not is_in_image(spec.job):
        problems += translate(spec.job, Path(spec.job.workdir)).problems
    return problems
