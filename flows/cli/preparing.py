"""What comes before the work of a command: which Kubernetes is meant, and is the ledger well."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbtide.flows.cli.output import say
from ebbtide.flows.cli.place import use_place
from ebbtide.flows.cli.reaping import release_unowned
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings, load_settings

_ONLY_LOOK = ("plan", "dry_run", "print_unit")
"""With one of these options a command that changes things changes nothing."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a command needs before it does its work."""

    place: bool = True
    """Whether it may ask a Kubernetes; else it does not, or says itself where that is named."""
    remembered: bool = True
    """Whether the Kubernetes that was used last is meant where none is named: not by commands that
    begin something."""
    ledger: bool = True
    """Whether the ledger is checked; else the command says itself what is wrong with it, or begins
    without one."""
    changes: bool = False
    """Whether it changes things: what nobody owns any more is released. Others only look."""
    releases_itself: bool = False
    """Whether it does so itself, because it knows what need not be waited for."""


def prepare(preparation: Preparation, options: Mapping[str, Any]) -> None:
    """Do what a command needs before its work.

    Args:
        preparation: what that is.
        options: the values of its options, by the names of parameters.

    Raises:
        EbbError: a platform in use does not answer, or does not let us look.
    """
    if preparation.place:
        use_place(options, os.environ, Path.cwd(), remembered=preparation.remembered)
    if preparation.ledger:
        changes = preparation.changes and not any(options.get(name) for name in _ONLY_LOOK)
        settings = load_settings()
        if _has_ledger(settings, put_in_order=changes) and not preparation.releases_itself:
            release_unowned(settings)


def _has_ledger(settings: Settings, *, put_in_order: bool) -> bool:
    """Report what became of the ledger; whether there is something to put in order, and we can."""
    if not settings.home.exists():
        return False
    ledger = Ledger(settings.home)
    try:
        ledger.check()
    except ProvisioningError as error:  # a full disk: what only looks can go on without
        if put_in_order:
            why = f"{error.detail or error.summary}; {error.hint}"
            say(f"! what has no owner cannot be released: {why}")
        return False
    if ledger.moved_aside is not None:
        say(f"! the ledger was corrupt: moved to {ledger.moved_aside}; living runs register again")
    return put_in_order
