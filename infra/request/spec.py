"""One run's request, judged as a whole before anything is made.

Options, catalog and program become a ``RunSpec``, or one error with everything that is wrong. Does
not belong here: whether there is room at the moment (admission), making anything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.cluster import AutoscalePolicy, ClusterSpec
from ebbtide.infra.models.hardware import HardwareTier
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import (
    JobSpec,
    Limits,
    PassedOver,
    RetryPolicy,
    RunSpec,
    destination_of_run,
)
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.ebb_yaml.pools import LOCAL
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.request.names import generate
from ebbtide.infra.request.options import merge
from ebbtide.infra.request.program.check import (
    check_elsewhere,
    check_program,
    check_shipped,
    check_workdir,
)
from ebbtide.infra.request.room import check_room

HELLO = ("hello",)
"""What a user writes as the program to run the built-in job."""
_PROCESSES, _PROCESSES_A_MEMBER = 1000, 32
"""Allowed when nobody says how many. A Ray node has about 10 and one for each of its cores."""


@dataclass(frozen=True, kw_only=True)
class RequestContext:
    """What a user asked for, and what is known about the place where that was done."""

    argv: tuple[str, ...] | None
    """The program and its arguments; None: no program, a Python session drives the cluster."""
    cli: Mapping[str, Any]
    """Options by name, as texts or as natural Python values."""
    environ: Mapping[str, str]
    cwd: Path
    catalog: Catalog
    file_options: Mapping[str, Any]
    frameworks: tuple[str, ...]
    installed: Callable[[str], list[Problem]]
    """What keeps a known framework from being used here."""
    platforms: tuple[str, ...] = ("local",)
    hello_argv: tuple[str, ...] = ()
    hello_defaults: Mapping[str, Any] = field(default_factory=dict)
    """Stronger than the table's defaults, weaker than everything the user set."""
    random: Random = field(default_factory=Random)
    import_path: tuple[str, ...] = ()
    """Of the Python session: absolute folders where it finds modules of its own."""


def build_run_spec(ask: RequestContext) -> RunSpec:
    """Make the spec of a run, checked as a whole.

    Raises:
        ConfigurationError: with everything that is wrong with it.
    """
    hello = ask.hello_defaults if ask.argv == HELLO else {}
    options, problems = merge(ask.cli, ask.environ, file=ask.file_options, weaker=hello)
    problems += _check_framework(ask, options)
    asked = [
        _cluster(ask.catalog, options, *pair) for pair in _choose_tiers(ask, options, problems)
    ]
    job = _job(ask, options, problems)
    problems += [*_check_outputs(options), *_check_priority(options)]
    fitting, passed_over = _that_fit(ask.catalog, asked, problems)
    if problems or not fitting:
        raise ConfigurationError(problems)
    cluster, *others = fitting
    name = RunName(options["name"] or generate(ask.random))
    return RunSpec(
        name=name,
        platform=options["platform"],
        cluster=cluster,
        # One cluster is all that a Python session has: it waits for its tier as for the only one.
        next_tiers=tuple(others) if job else (),
        passed_over=passed_over,
        job=job,
        workdir="" if job else _workdir(ask, options),
        import_path=ask.import_path,
        bridge=options["bridge"],
        env={} if job else options["env"],
        limits=_limits(options, cluster),
        retry=RetryPolicy(
            reasons=options["retry"],
            attempts=options["attempts"],
            replacements=options["replacements"],
        ),
        outputs=destination_of_run(options["outputs"], name),
        lease_s=options["lease"],
        tags=options["tag"],
        owner=options["owner"] or ask.environ.get("USER") or ask.environ.get("LOGNAME") or "",
    )


def _check_framework(ask: RequestContext, options: Mapping[str, Any]) -> list[Problem]:
    framework = options["framework"]
    if framework in ask.frameworks:  # elsewhere it is in the image
        return ask.installed(framework) if options["platform"] == LOCAL else []
    listed = f"frameworks: {', '.join(ask.frameworks)}"
    hint = did_you_mean(framework, ask.frameworks, otherwise=listed)
    return [Problem(Reason.FRAMEWORK_UNKNOWN, f"no framework is named {framework}", hint)]


def _check_outputs(options: Mapping[str, Any]) -> list[Problem]:
    if not options["outputs"] or options["platform"] != LOCAL:
        return []
    summary = "what a program on platform local writes to EBB_OUTPUT_DIR stays on this machine"
    return [Problem(Reason.OPTION_INVALID, summary, "--outputs here, or --platform kubernetes")]


def _check_priority(options: Mapping[str, Any]) -> list[Problem]:
    if not options["priority"] or options["platform"] != LOCAL:
        return []
    summary = "platform local has no PriorityClass: runs that wait for room go first come first"
    return [Problem(Reason.OPTION_INVALID, summary, "without --priority, or --platform kubernetes")]


def _check_code(options: Mapping[str, Any]) -> list[Problem]:
    if options["platform"] != LOCAL:
        return []
    summary = "a program on platform local runs in its workdir, and no code is fetched for it"
    return [Problem(Reason.OPTION_INVALID, summary, "--code here, or --platform kubernetes")]


def _choose_tiers(
    ask: RequestContext, options: Mapping[str, Any], problems: list[Problem]
) -> list[tuple[HardwareTier, HardwareTier]]:
    """Return the workers' and the head's tiers, in order; none when one of them has a problem."""
    platform = options["platform"]
    here = [tier for tier in ask.catalog.tiers if ask.catalog.platform_of(tier) == platform]
    if wrong := _check_platform(ask, platform, here):
        problems += wrong
        return []
    unknown: list[Problem] = []
    tiers, heads = (
        [_named(name, here, ask.catalog, platform=platform, problems=unknown) for name in names]
        for names in (options["tier"] or (), options["head-tier"] or ())
    )
    problems += unknown
    if unknown:
        return []
    plain = options["framework"] == "none"  # there is no head, a head tier is without effect
    pairs, wrong = [], []
    for tier in filter(None, tiers or [_default(ask.catalog.default_tier, here)]):
        head = tier if plain else _head_of(ask, options["framework"], tier, heads, here)
        wrong += _check_pair(tier, head, options["framework"], known=ask.frameworks)
        pairs.append((tier, head))
    problems += dict.fromkeys(wrong)
    return [] if wrong else pairs


def _head_of(
    ask: RequestContext,
    framework: str,
    tier: HardwareTier,
    named: Sequence[HardwareTier | None],
    here: Sequence[HardwareTier],
) -> HardwareTier:
    """Return the tier of the head beside workers of a tier: one that was named, or a usual one."""
    asked = [head for head in named if head is not None]
    if asked:
        return next((head for head in asked if head.pool == tier.pool), asked[0])

    def shares(head: HardwareTier) -> int:
        """Neither a head nor most programs compute on a GPU, and both must not be taken away."""
        return bool(tier.resources.gpus and head.resources.gpus) + head.spot

    fit = [each for each in here if each.pool == tier.pool and each.allows(framework)]
    heads = [each for each in fit if shares(each) <= shares(tier)]
    better = sorted((each for each in heads if shares(each) < shares(tier)), key=shares)
    usual = ask.catalog.default_head_tier
    if better and usual == ask.catalog.default_tier == tier.name:
        return better[0]  # the file has named no tier for heads
    return _default(usual, [*better, tier, *heads])


def _that_fit(
    catalog: Catalog, asked: Sequence[ClusterSpec], problems: list[Problem]
) -> tuple[list[ClusterSpec], tuple[PassedOver, ...]]:
    """Leave out what can never fit, unless that is all: then it is a problem."""
    fitting, passed_over, wrong = [], [], []
    for cluster in asked:
        found = check_room(catalog, cluster)
        if not found:
            fitting.append(cluster)
            continue
        first = found[0]
        tier = cluster.tier.name
        passed_over.append(PassedOver(tier=tier, reason=first.reason, why=first.summary))
        wrong += found
    if not fitting:
        problems += dict.fromkeys(wrong)
    return fitting, tuple(passed_over)


def _check_platform(ask: RequestContext, platform: str, here: list[HardwareTier]) -> list[Problem]:
    if platform not in ask.platforms:
        listed = f"platforms: {', '.join(ask.platforms)}"
        hint = did_you_mean(platform, ask.platforms, otherwise=listed)
        return [Problem(Reason.OPTION_INVALID, f"no platform is named {platform}", hint)]
    if not here:
        summary = f"platform {platform} has no hardware tier"
        hint = f"add a pool of that platform and a tier to ebb.yaml ({ask.catalog.source})"
        if platform != LOCAL:
            hint += ", or let an administrator write ConfigMap ebb-catalog of the namespace"
        return [Problem(Reason.TIER_UNKNOWN, summary, hint)]
    return []


def _named(
    name: str,
    here: list[HardwareTier],
    catalog: Catalog,
    *,
    platform: str,
    problems: list[Problem],
) -> HardwareTier | None:
    found = next((tier for tier in here if tier.name == name), None)
    if not found:
        names = [tier.name for tier in here]
        listed = f"tiers: {', '.join(names)}"
        other = catalog.tier(name)
        if other:
            place = catalog.platform_of(other)
            summary = f"tier {name} is on platform {place}, not on {platform}"
            problems.append(Problem(Reason.TIER_UNKNOWN, summary, f"--platform {place}; {listed}"))
        else:
            near = did_you_mean(name, names)
            hint = f"{near} {listed}".strip()
            problems.append(Problem(Reason.TIER_UNKNOWN, f"no tier is named {name}", hint))
    return found


def _default(name: str, tiers: list[HardwareTier]) -> HardwareTier:
    """Return the tier of this name, or the first when the catalog's default is elsewhere."""
    return next((tier for tier in tiers if tier.name == name), tiers[0])


def _check_pair(
    tier: HardwareTier, head: HardwareTier, framework: str, *, known: Iterable[str]
) -> list[Problem]:
    problems = []
    used = dict.fromkeys((tier, head))
    for each in used if framework in known else []:
        if not each.allows(framework):
            allowed = ", ".join(each.frameworks)
            summary = f"tier {each.name} is for {allowed}, not for {framework}"
            hint = f"choose another tier, or --framework {each.frameworks[0]}"
            problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    if len({each.pool for each in used}) > 1:
        summary = f"tier {tier.name} is of pool {tier.pool}, head tier {head.name} of {head.pool}"
        hint = "choose both from one pool: head and workers are admitted together"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    return problems


def _workdir(ask: RequestContext, options: Mapping[str, Any]) -> str:
    given: str = os.path.expanduser(options["workdir"])
    return os.path.abspath(ask.cwd / given)


def _job(
    ask: RequestContext, options: Mapping[str, Any], problems: list[Problem]
) -> JobSpec | None:
    workdir, here = Path(_workdir(ask, options)), options["platform"] == LOCAL
    secrets, keys = _secrets(ask, options, problems)
    if ask.argv is None:
        return None
    if ask.argv == HELLO and ask.hello_argv:
        argv, wrong = ask.hello_argv, check_workdir(workdir)
    elif options["code"]:
        argv, wrong = check_elsewhere(ask.argv), _check_code(options)
    elif here:
        path = ask.environ.get("PATH", os.defpath)
        argv, wrong = check_program(ask.argv, workdir, search_path=path)
    else:
        argv, wrong = check_shipped(ask.argv, workdir)
    problems += wrong
    return JobSpec(
        argv=argv,
        workdir=str(workdir),
        env=options["env"],
        secrets=secrets,
        secret_keys=keys,
        code=options["code"] if ask.argv != HELLO else "",
        code_limit_bytes=options["code-limit"],
    )


def _secrets(
    ask: RequestContext, options: Mapping[str, Any], problems: list[Problem]
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of variables of this shell, and of those whose value is in a Secret."""
    named = [text.partition("=") for text in options["secret"]]
    for name in [name for name, equals, _ in named if not equals and name not in ask.environ]:
        near = did_you_mean(name, ask.environ)
        hint = f"{near} or: export {name}=…".removeprefix(" or: ")
        summary = f"the secret {name} is not set in this shell"
        problems.append(Problem(Reason.SECRET_MISSING, summary, hint))
    keys = {name: place for name, equals, place in named if equals}
    if keys and options["platform"] == LOCAL:
        summary = f"the secret {next(iter(keys))} is to come from a Secret, which are on Kubernetes"
        hint = "--platform kubernetes, or without = for a variable of this shell"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    return tuple(name for name, equals, _ in named if not equals), keys


def _cluster(
    catalog: Catalog, options: Mapping[str, Any], tier: HardwareTier, head: HardwareTier
) -> ClusterSpec:
    min_workers, max_workers = options["workers"]
    if options["priority"]:
        tier, head = (replace(each, priority=options["priority"]) for each in (tier, head))
    pool = catalog.pool(tier.pool)
    if options["framework"] == "dask" and pool.dask_operator:
        max_workers = min_workers  # nothing scales what the operator has made
    return ClusterSpec(
        framework=options["framework"],
        tier=tier,
        head_tier=head,
        pool=pool,
        policy=AutoscalePolicy(
            min_workers=min_workers,
            max_workers=max_workers,
            target_cpu_percent=options["target-cpu"],
            target_memory_percent=options["target-memory"],
            scale_on=options["scale-on"],
            target_backlog_s=options["target-backlog"],
            scale_down_window_s=options["scale-down-window"],
            scale_up_window_s=options["scale-up-window"] or 0.0,
            scale_up_step=options["scale-up-step"],
            scale_down_step=options["scale-down-step"],
        ),
        choice=tuple(
            other
            for other in catalog.tiers
            if other.pool == tier.pool and other.allows(options["framework"])
        ),
    )


def _limits(options: Mapping[str, Any], cluster: ClusterSpec) -> Limits:
    processes = options["max-processes"]
    if processes == "auto":
        members = 1 + cluster.policy.max_workers if cluster.has_workers else 1
        processes = max(_PROCESSES, _PROCESSES_A_MEMBER * members)
    return Limits(
        start_within_s=options["start-within"],
        time_limit_s=options["time-limit"],
        idle_release_s=options["idle-release"],
        idle_action=options["idle-action"],
        no_progress_s=options["no-progress"],
        max_output_bytes=options["max-output"],
        max_processes=processes,
    )
