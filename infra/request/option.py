"""One option of ``ebb run``, as a line of the table (``infra.request.options``)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.request.option_values import as_typed


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

    def texts(self, value: Any, *, shell: bool) -> list[str]:
        """Return the parts of a value of a repeatable option.

        ``shell``: whether quotes mean in it what they mean to a shell, as in variables; one that is
        not closed is a ValueError.
        """
        if isinstance(value, Mapping):
            return [f"{key}={as_typed(item, '')}" for key, item in value.items()]
        if isinstance(value, (list, tuple)):
            return [as_typed(item, "") for item in value]
        if self.separator:
            return str(value).replace(self.separator, " ").split()
        try:
            return shlex.split(value) if shell else [str(value)]
        except ValueError:
            raise ValueError("a quote is not closed; write it like A=1 B='two words'") from None
