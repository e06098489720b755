"""Which tier of a list a run takes next, and how long the one before is waited for. Pure.

A tier that is not to be had is no failure of the run: going on to the next uses up neither an
attempt nor a replacement, and no more time than the run had to start. Does not belong here: making
the next cluster, reading why a pool does not grow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.job import PassedOver, RunSpec
from ebbtide.infra.models.phases import Reason

REFUSED_S = 10.0
"""A pool that is refused more machines, or a quota that is used up: as long as an autoscaler takes
to look again."""
UNANSWERED_S = 60.0
"""A pool that does not grow in words that say less: an autoscaler that has just started, too, has
looked by then."""

_NOT_TO_BE_HAD = (
    Reason.OUT_OF_STOCK,
    Reason.QUOTA,
    Reason.POOL_AT_MAX,
    Reason.NO_NODE,
    Reason.TIER_EXCEEDS_POOL,
    Reason.POOL_UNKNOWN,
)
"""Why a cluster did not come that may come of another tier."""
_PATIENCE_S: Mapping[Reason | None, float] = {
    Reason.OUT_OF_STOCK: REFUSED_S,
    Reason.QUOTA: REFUSED_S,
    Reason.POOL_AT_MAX: REFUSED_S,
    Reason.NO_NODE: UNANSWERED_S,
}


def next_of(spec: RunSpec, error: EbbError) -> RunSpec | None:
    """Return the same run on its next tier.

    Args:
        spec: of the run, with what is left of its list.
        error: what the cluster of its present tier failed with.

    Returns:
        The run as it goes on, with the tier that is left behind and why; None: it has no other
        tier, or failed for what no other tier mends.
    """
    if error.reason not in _NOT_TO_BE_HAD or not spec.next_tiers:
        return None
    cluster, *rest = spec.next_tiers
    why = error.detail or error.summary
    left = PassedOver(tier=spec.cluster.tier.name, reason=error.reason, why=why)
    return replace(
        spec, cluster=cluster, next_tiers=tuple(rest), passed_over=(*spec.passed_over, left)
    )


def patience_s(spec: RunSpec, reason: Reason | None, *, grows: bool = False) -> float | None:
    """Say how long a wait may last while another tier is left.

    Args:
        spec: of the run.
        reason: why its cluster waits.
        grows: whether a node is on its way: it may take its share of the run's time to start.

    Returns:
        Seconds; None: as long as without another tier.
    """
    if not spec.next_tiers:
        return None
    if grows:
        return spec.limits.start_within_s / (1 + len(spec.next_tiers))
    return _PATIENCE_S.get(reason)
