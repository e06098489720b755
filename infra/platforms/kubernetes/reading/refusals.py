"""Why the API server refuses to make a pod: quota, Pod Security, limits. Pure.

The same words come as the answer to a pod of our own and as a condition of the workers' Deployment.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.spelling import quantity

_QUOTA = re.compile(
    r"exceeded quota: (?P<name>\S+), requested: (?P<asked>\S+), used: (?P<used>\S+),"
    r" limited: (?P<limit>\S+)"
)
_INSISTS = re.compile(r"failed quota: (?P<name>[^:]+): must specify (?P<what>.+)")
_NEVER = re.compile(
    r"violates PodSecurity|(?:maximum|minimum) \S+ usage per|denied the request"
    r"|is forbidden: unable to validate against|is invalid:|no PriorityClass with name"
    r"|error looking up service account"
)
_ENDS = re.compile(r"namespace \S+ because it is being terminated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A pod that is not made."""

    reason: Reason
    sentence: str
    hint: str = ""
    never: bool = False
    """Whether waiting cannot help."""
    quota: str = ""
    """The one that is used up; empty: none is."""


def refusal(message: str) -> Refusal | None:
    """Read why a pod was refused.

    Args:
        message: the server's.

    Returns:
        What it means; None for words that are not known to keep a pod away for good or for long.
    """
    quota = _QUOTA.search(message)
    if quota:
        return _over(quota)
    insists = _INSISTS.search(message)
    if insists:
        sentence = f"quota {insists['name']} wants every pod to say {insists['what']}"
        hint = "a LimitRange of the namespace can give a default; or use another --namespace"
        return Refusal(reason=Reason.POD_REFUSED, sentence=sentence, hint=hint, never=True)
    if _ENDS.search(message):
        return Refusal(reason=Reason.NAMESPACE_GONE, sentence="it is being deleted", never=True)
    if _NEVER.search(message):
        hint = "ebb doctor --platform kubernetes; or use another --namespace"
        sentence = message.rpartition(" is forbidden: ")[2]
        return Refusal(reason=Reason.POD_REFUSED, sentence=sentence, hint=hint, never=True)
    return None


def _over(quota: re.Match[str]) -> Refusal:
    name = quota["name"]
    asked, used, limit = (_amounts(quota[part]) for part in ("asked", "used", "limit"))
    told = (what for what in asked if what in limit)
    never = [what for what in told if quantity(asked[what]) > quantity(limit[what])]
    if never:
        each = ", ".join(f"{asked[what]} of {what}, and it allows {limit[what]}" for what in never)
        sentence = f"one pod asks quota {name} for {each}"
        hint = "choose a smaller --tier (ebb tiers), or have the quota raised"
        return Refusal(reason=Reason.QUOTA, sentence=sentence, hint=hint, never=True)
    full = ", ".join(f"{used.get(what, '?')} of {limit[what]} {what}" for what in limit)
    sentence = f"quota {name} is used up: {full} in use, {quota['asked']} asked"
    hint = "kubectl describe quota shows who has it; stop what is not needed, or ask for less"
    return Refusal(reason=Reason.QUOTA, sentence=sentence, hint=hint, quota=name)


def _amounts(text: str) -> dict[str, str]:
    """``requests.cpu=2,pods=1`` as a mapping."""
    pairs = (part.partition("=") for part in text.strip(",").split(","))
    return {name: amount for name, _, amount in pairs if name}
