"""The first cluster of a run is declared before its flow is there, which goes on from there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ebbtide.flows.launch import _declare_first
from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.models.phases import Reason
from tests.clusters import cluster_spec, run_spec

SPEC = run_spec("heron", cluster_spec("none"))


class Refuses:
    """A platform that declares nothing."""

    def __init__(self, reason: Reason):
        self._reason = reason

    def declare(self, *_: object) -> None:
        raise error_for(self._reason)


def declared(reason: Reason, spec: Any) -> None:
    platform: Any = Refuses(reason)
    _declare_first(platform, spec)


def test_flow_takes_the_next_tier_when_the_first_is_refused() -> None:
    declared(Reason.QUOTA, replace(SPEC, next_tiers=(SPEC.cluster,)))


@pytest.mark.parametrize(
    ("reason", "spec"),
    [
        (Reason.QUOTA, SPEC),
        (Reason.NO_RIGHTS, replace(SPEC, next_tiers=(SPEC.cluster,))),
    ],
)
def test_what_no_other_tier_mends_is_told_at_once(reason: Reason, spec: Any) -> None:
    with pytest.raises(EbbError):
        declared(reason, spec)
