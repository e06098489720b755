"""What node autoscalers write down beside their events: Cluster Autoscaler's status, NodeClaims.

Many may not read them: they only explain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, NODE_CLAIM, Object
from ebbtide.infra.platforms.kubernetes.reading.nodes.claims import named

_STATUS_SPACE, _STATUS_NAME = "kube-system", "cluster-autoscaler-status"
_REFUSED_BY_THE_POOL = "NotTriggerScaleUp"


@dataclass(frozen=True, slots=True)
class Written:
    """What was found of both."""

    groups: Mapping[str, Any] = field(default_factory=dict)
    """The node groups of Cluster Autoscaler's status by their names."""
    claims: Mapping[str, Object | None] = field(default_factory=dict)
    """The NodeClaims that events name; None for one that is gone."""

    def differs(self, before: Written) -> bool:
        """Whether a claim has changed, or a pool has begun or ceased to be left alone."""
        scaled = {name: _scale_up(group) for name, group in self.groups.items()}
        earlier = {name: _scale_up(group) for name, group in before.groups.items()}
        return scaled != earlier or self.claims != before.claims


def is_announced(events: Sequence[Object]) -> bool:
    """Whether events say that an autoscaler has written down more."""
    return _is_refused(events) or bool(named(events))


def ask(api: Api, events: Sequence[Object], before: Written) -> Written:
    """Ask for what the events announce.

    Args:
        api: of the cluster.
        events: about its pods.
        before: what was found the last time.

    Returns:
        What is found now, and the earlier answer to what was not asked.

    Raises:
        ApiError: no answer, or it may not be read.
    """
    found = before
    if _is_refused(events):
        found = replace(found, groups=_status(api))
    if names := named(events):
        found = replace(found, claims=_claims(api, names))
    return found


def _status(api: Api) -> dict[str, Any]:
    question = Request(path=CONFIG_MAP.path(_STATUS_SPACE, _STATUS_NAME))
    found = api.ask(question, patience_s=0.0)
    return pool_status(str((found.get("data") or {}).get("status") or ""))


def _claims(api: Api, names: set[str]) -> dict[str, Object | None]:
    found = api.list(NODE_CLAIM, patience_s=0.0).items
    there: dict[str, Object | None] = {each["metadata"]["name"]: each for each in found}
    return {name: there.get(name) for name in names}


def pool_status(text: str) -> dict[str, Any]:
    """The node groups of Cluster Autoscaler's status document by their names; its shape of 1.30."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    groups = document.get("nodeGroups") if isinstance(document, dict) else None
    return {str(group.get("name")): group for group in groups or () if isinstance(group, dict)}


def _is_refused(events: Sequence[Object]) -> bool:
    return any(event.get("reason") == _REFUSED_BY_THE_POOL for event in events)


def _scale_up(group: Mapping[str, Any]) -> tuple[Any, Any]:
    found = group.get("scaleUp") or {}
    return found.get("status"), (found.get("backoffInfo") or {}).get("errorCode")
