"""One option of ``ebb run``, as a line of the table (``infra.request.options``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option of ``ebb run``: its flag, variable and key, its default, and how it is read."""

    name: str
    """As in ``--name``, ``EBB_NAME`` and ``run: {name: …}``; dashes between words."""
    parse: Callable[[str], Any]
    """Value of one text; a ValueError ``what is wrong; what to write`` becomes a Problem."""
    default: str | None
    """As a user would type it; None: nothing."""
    help: str
    metavar: str
    collect: Callable[[Iterable[Any]], Any] | None = None
    """For an option that may be repeated: what its values together become."""
    separator: str = ""
    """What stands between the parts when they are given as a list in ebb.yaml or Python."""
    switch: bool = False
    """Whether the flag alone means yes; a value then needs an equals sign."""

    @property
    def repeatable(self) -> bool:
        """Whether every source adds to it, instead of the strongest replacing the others."""
        return self.collect is not None

    @property
    def flag(self) -> str:
        """The option on the command line."""
        return f"--{self.name}"

    @property
    def variable(self) -> str:
        """The option as an environment variable."""
        return "EBB_" + self.name.upper().replace("-", "_")
