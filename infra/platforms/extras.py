"""What only some platforms have, loaded by name when it is asked for.

A platform that is not named here has none of it; asking then imports and costs nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.files.place import place_in_use
from ebbtide.infra.loading import load
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.catalog import Catalog, Shared, catalog_for, settings_here
from ebbtide.infra.settings import Settings

_KUBERNETES = "ebbtide.infra.platforms.kubernetes"
_CATALOGS = {"kubernetes": f"{_KUBERNETES}.administration.catalog:shared_catalog"}
_PLANS = {"kubernetes": f"{_KUBERNETES}.clusters.planned:plan_objects"}
_CHECKS = {"kubernetes": f"{_KUBERNETES}.administration.checks:checks"}
_NAMESPACES = {"kubernetes": f"{_KUBERNETES}.connections:namespace_of"}
_DEPARTURES = {"kubernetes": f"{_KUBERNETES}.detached.leaving:departure"}
_MANIFESTS = {"kubernetes": f"{_KUBERNETES}.administration.manifests:manifests"}
_CONNECTIONS = {"kubernetes": f"{_KUBERNETES}.sessions.connecting:connection"}
_POOLS = {"kubernetes": f"{_KUBERNETES}.administration.seen_pools:seen_pools"}
_FLOW_JOBS = {"kubernetes": f"{_KUBERNETES}.administration.manifests:flow_job"}


PARTS = ("reaper", "flow", "warm")
"""What an administrator installs on a platform that has manifests."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check of ``ebb doctor``."""

    check: str
    state: str
    """``ok``, ``warning``, or ``missing`` for what is essential."""
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """What a framework's own client in this process needs (``Framework.client``)."""

    address: str
    environment: dict[str, str]


@dataclass(frozen=True, slots=True)
class FlowOrder:
    """What is one flow's own in the Job that is made for it."""

    run: str
    """Its name."""
    digest: str
    """Of the code that is sent to it, or that none is."""
    hand_over_s: Any
    """The Job ends after so many seconds, unless its pod has taken the run over."""


class FlowMaker(Protocol):
    """Somebody else who makes the Job of a flow, in the place of the platform itself."""

    def make(self, order: FlowOrder) -> None:
        """Order the Job; it comes some time later.

        Raises:
            EbbError: it cannot be ordered.
        """
        ...

    def look(self) -> str:
        """Say what the order waits for; empty when that is not known.

        Raises:
            EbbError: the Job will not come any more.
        """
        ...

    def give_up(self, why: str) -> None:
        """Take the order back, as far as that is possible."""
        ...


class Departure(Protocol):
    """A run that is about to leave this machine: its flow will live where its cluster does."""

    @property
    def namespace(self) -> str:
        """Where its flow will live, as the platform calls it."""
        ...

    @property
    def finding(self) -> Finding:
        """Whether it can; ``ok``, or what is missing and how to mend it."""
        ...

    @property
    def spec(self) -> RunSpec:
        """As the flow there must have it."""
        ...

    def hand_over(
        self,
        store: RunStore,
        run: RunName,
        waits: Callable[[str], bool],
        maker: FlowMaker | None = None,
    ) -> None:
        """Start the flow, and wait until it has taken the run over.

        Args:
            store: with the run, which has begun with ``spec``.
            run: its name.
            waits: takes what is waited for; whether the person who waits still does.
            maker: who makes the flow's Job; None: the platform does.

        Raises:
            EbbError: it did not come; nothing of it is left.
        """
        ...


def departure_of(spec: RunSpec, settings: Settings) -> Departure | None:
    """Prepare that a run's flow lives apart from this machine.

    Args:
        spec: of the run.
        settings: of this installation.

    Returns:
        The departure; None on a platform whose clusters need this machine anyway.
    """
    prepare = _loaded(_DEPARTURES, spec.platform)
    found: Departure | None = prepare(settings, spec) if prepare is not None else None
    return found


def connection_to(
    spec: RunSpec, settings: Settings, view: ClusterView
) -> AbstractContextManager[Connection]:
    """Let a framework's client in this process come to a cluster that stands.

    Args:
        spec: of its run.
        settings: of this installation.
        view: of the cluster, whose head has answered.

    Returns:
        A context manager; the client works while its block lasts.

    Raises:
        ConfigurationError: OPTION_INVALID, no client of this framework can from here.
        ProvisioningError: the cluster cannot be reached, or is gone.
    """
    connect = _loaded(_CONNECTIONS, spec.platform)
    if connect is None:  # the head listens on this machine
        return contextlib.nullcontext(Connection(view.head_address, dict(view.driver_env)))
    found: AbstractContextManager[Connection] = connect(spec, settings, view)
    return found


def catalog_on(
    environ: Mapping[str, str], cwd: Path, asked: Mapping[str, Any]
) -> tuple[Catalog, dict[str, Any]]:
    """Return the pools and tiers in force for a platform, also those written down there.

    Args:
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.
        asked: options that are stronger than the environment's; only ``platform`` counts here.

    Returns:
        The catalog, and the options that ebb.yaml sets.

    Raises:
        EbbError: with all that is wrong in a catalog, or it cannot be read.
    """
    shared = partial(_shared_catalog, settings=settings_here(environ, cwd))
    return catalog_for(environ, cwd, asked, shared)


def catalog_of_all(environ: Mapping[str, str], cwd: Path, asked: Mapping[str, Any]) -> Catalog:
    """Return what is in force, and behind it what a Kubernetes that is in use here has beside it.

    Args:
        environ: as for ``catalog_on``.
        cwd: as for ``catalog_on``.
        asked: as for ``catalog_on``.

    Returns:
        A catalog to be shown: tiers of several platforms may have one name.

    Raises:
        EbbError: as for ``catalog_on``; what cannot be asked now beside it is left out.
    """
    here, _ = catalog_on(environ, cwd, asked)
    if place_in_use(settings_here(environ, cwd)) is None:
        return here
    for platform in _CATALOGS.keys() - {pool.platform for pool in here.pools}:
        with contextlib.suppress(EbbError):
            there, _ = catalog_on(environ, cwd, {**asked, "platform": platform})
            pools = tuple(pool for pool in there.pools if pool.platform == platform)
            names = {pool.name for pool in pools}
            tiers = tuple(tier for tier in there.tiers if tier.pool in names)
            if names.isdisjoint(pool.name for pool in here.pools):
                here = replace(here, pools=here.pools + pools, tiers=here.tiers + tiers)
    return here


def plan_objects(
    spec: RunSpec, environ: Mapping[str, str], cwd: Path
) -> tuple[list[dict[str, Any]], str] | None:
    """Return every object that would be made for a run, as its platform spells them.

    Args:
        spec: of the run.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        The objects, and what to know about them; None where a platform makes no objects.
    """
    plan = _loaded(_PLANS, spec.platform)
    found: tuple[list[dict[str, Any]], str] | None = None
    if plan is not None:
        found = plan(settings_here(environ, cwd), spec, environ)
    return found


def findings_on(platform: str, environ: Mapping[str, str], cwd: Path) -> list[Finding]:
    """Look at everything that a platform needs.

    Args:
        platform: its name.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        Every finding; none for a platform that has no checks of its own.
    """
    try:
        look = _loaded(_CHECKS, platform)
    except ConfigurationError as error:
        return [Finding("client", "missing", error.summary, error.hint)]
    if look is None:
        return []
    pools: tuple[NodePool, ...] = ()
    try:
        catalog, _ = catalog_on(environ, cwd, {"platform": platform})
        pools = catalog.pools
        listed = ", ".join(pool.name for pool in pools)
        found = [Finding("catalog", "ok", f"{catalog.source}: {listed}")]
    except EbbError as error:
        found = [Finding("catalog", "missing", error.detail or error.summary, error.hint)]
    looked: list[Finding] = look(settings_here(environ, cwd), pools)
    said = {each.detail for each in looked}
    return [*looked, *(each for each in found if each.detail not in said)]


def namespace_on(platform: str, environ: Mapping[str, str], cwd: Path) -> str:
    """Return where flows of detached runs would live, as the platform calls it; asks nobody.

    Args:
        platform: its name.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        The name; empty where no flow lives there, or when it is not known.
    """
    found = ""
    with contextlib.suppress(ConfigurationError):
        tell = _loaded(_NAMESPACES, platform)
        found = tell(settings_here(environ, cwd)) if tell is not None else ""
    return found


def flow_job_on(
    platform: str,
    order: FlowOrder,
    module: str,
    image: str,
    environ: Mapping[str, str],
    cwd: Path,
) -> dict[str, Any]:
    """Return the Job of a flow as somebody else than the platform is to make it.

    Args:
        platform: its name.
        order: the words that are filled in for each run.
        module: the program of the flow.
        image: as the catalog names it among its images.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        The object.

    Raises:
        ConfigurationError: OPTION_INVALID, no flow can live there; or the catalog cannot be read.
    """
    write = _needed(_FLOW_JOBS, platform)
    catalog, _ = catalog_on(environ, cwd, {"platform": platform})
    found: dict[str, Any] = write(order, module, image, catalog.pools)
    return found


def manifests_on(platform: str, part: str, environ: Mapping[str, str], cwd: Path) -> str:
    """Return what installs a part of Ebb on a platform, in the words of its own tools.

    Args:
        platform: its name.
        part: of ``PARTS``.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        YAML.

    Raises:
        ConfigurationError: OPTION_INVALID, nothing is to be installed there; or the catalog, which
            names the image, cannot be read, or asks for no such part.
    """
    write = _needed(_MANIFESTS, platform)
    catalog, _ = catalog_on(environ, cwd, {"platform": platform})
    found: str = write(part, catalog.pools)
    return found


def pools_on(
    platform: str | None, environ: Mapping[str, str], cwd: Path, label: str
) -> tuple[NodePool, ...]:
    """Return the pools that the machines of a platform are of, as they say themselves.

    Args:
        platform: its name; None: that of this machine.
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.
        label: of machines, whose value is the pool; empty: the usual ones are tried.

    Returns:
        The pools; none for a platform whose machines say nothing of it.

    Raises:
        EbbError: they cannot be asked.
        ConfigurationError: CATALOG_INVALID, no machine there has such a label.
    """
    look = _loaded(_POOLS, platform or "")
    if look is None:
        return ()
    found: tuple[NodePool, ...] = look(settings_here(environ, cwd), label)
    if not found:
        summary = "no node has a label that says of which pool it is"
        hint = "kubectl get nodes --show-labels; then --label NAME"
        raise ConfigurationError([Problem(Reason.CATALOG_INVALID, summary, hint)])
    return found


def _shared_catalog(platform: str, *, settings: Settings) -> Shared | None:
    read = _loaded(_CATALOGS, platform)
    found: Shared | None = read(settings) if read else None
    return found


def _needed(registry: Mapping[str, str], platform: str) -> Callable[..., Any]:
    found = _loaded(registry, platform)
    if found is None:
        summary = f"on platform {platform} nothing is to be installed"
        hint = f"--platform {' or '.join(registry)}"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    return found


def _loaded(registry: Mapping[str, str], platform: str) -> Callable[..., Any] | None:
    return load(registry[platform], platform) if platform in registry else None
