"""A NodeClaim of Karpenter: how far the machine is that a pod is promised. Pure.

Its conditions become true one after another: Launched, Registered, Initialized. What a cloud has
no machine for, Karpenter deletes at once: a claim that has gone says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import condition, leaving

_NAMED = re.compile(r"nodeclaim/(\S+?)(?:[,\s]|$)")
_NO_MACHINE = re.compile(r"insufficient ?capacity|out of (?:stock|capacity)|quota", re.IGNORECASE)
_USUAL = ("", "AwaitingReconciliation", "NodeNotFound", "NodeNotReady")
"""Reasons that say nothing beyond that it is not done yet."""
_LONGEST = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a claim is."""

    sentence: str
    """As a clause: ``its machine has not joined the cluster yet``."""
    reason: Reason | None = None
    """Why it does not go on; None where it does, as far as is known."""


def named(events: Iterable[Object]) -> set[str]:
    """The claims that Karpenter has promised to pods, in its events."""
    texts = (str(each.get("message") or "") for each in events if each.get("reason") == "Nominated")
    return {name for text in texts for name in _NAMED.findall(text)}


def progress(claim: Object | None) -> Progress:
    """Say how far it is.

    Args:
        claim: as the API server has it; None: it has been deleted.

    Returns:
        Its first condition that is not true, in words; those of the cloud where it refuses.
    """
    if claim is None or leaving(claim):
        gone = "Karpenter has given it up: most often the cloud has no such machine now"
        return Progress(sentence=gone, reason=Reason.OUT_OF_STOCK)
    for kind, usual in (
        ("Launched", "the cloud has not given its machine yet"),
        ("Registered", "its machine has not joined the cluster yet"),
        ("Initialized", "its node is not ready yet"),
    ):
        found = condition(claim, kind) or {}
        if found.get("status") != "True":
            return _not_yet(kind, usual, found)
    return Progress(sentence="its node is ready")


def _not_yet(kind: str, usual: str, found: Object) -> Progress:
    why, said = str(found.get("reason") or ""), str(found.get("message") or "")
    if why in _USUAL or why == kind:
        return Progress(sentence=usual)
    sentence = f"{usual}: {said or why}"[:_LONGEST]
    if kind != "Launched" and found.get("status") != "False":
        return Progress(sentence=sentence)  # a node that is made ready, step by step
    no_machine = kind == "Launched" and _NO_MACHINE.search(f"{why} {said}")
    return Progress(sentence=sentence, reason=Reason.OUT_OF_STOCK if no_machine else Reason.NO_NODE)
