"""How much of what has ended is kept: ``30d``, ``1000 runs``, ``20Gi``, or several of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ebbtide.infra.models.resources import (
    format_duration,
    format_memory,
    parse_duration_s,
    parse_memory,
)

_SPELLINGS = "an age like 30d, a number like 1000 runs, or a size like 20Gi"


@dataclass(frozen=True, slots=True)
class Keep:
    """Limits on ended runs, of which each that is set holds. Without any, all runs are kept."""

    age_s: float | None = None
    """A run goes when it ended longer ago."""
    runs: int | None = None
    """As many of the latest."""
    bytes_: int | None = None
    """As many of the latest as have folders of this size together."""

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.age_s, self.runs, self.bytes_))

    def __str__(self) -> str:
        texts = []
        if self.age_s is not None:
            days = self.age_s / 86_400
            texts.append(f"{days:g}d" if days >= 1 else format_duration(self.age_s))
        if self.runs is not None:
            texts.append(f"{self.runs} runs")
        if self.bytes_ is not None:
            texts.append(format_memory(self.bytes_))
        return ", ".join(texts)


def parse_keep(texts: Iterable[str]) -> Keep:
    """Read what the user wrote, one limit for each text.

    Raises:
        ValueError: with a sentence that names the accepted spellings.
    """
    age_s, runs, bytes_ = None, None, None
    for text in texts:
        if match := re.fullmatch(r"(\d+) +runs?", text.strip()):
            runs = int(match[1])
        elif re.fullmatch(r"[\d.]+ *([kmgtKMGT]i?[bB]?|B)", text.strip()):
            bytes_ = parse_memory(_kubernetes_unit(text))
        else:
            try:
                age_s = parse_duration_s(text)
            except ValueError:
                raise ValueError(f"{text!r} is not what to keep; write {_SPELLINGS}") from None
    return Keep(age_s, runs, bytes_)


def _kubernetes_unit(text: str) -> str:
    """Write a size with Kubernetes' unit: ``20 GiB`` and ``20GiB`` become ``20Gi``."""
    compact = text.replace(" ", "")
    return compact.removesuffix("B") if compact.endswith("iB") else compact
