"""Amounts of CPU, memory, GPUs and time, as users spell them and in the units the code keeps.

CPU is kept in thousandths of a core, memory in bytes, time in seconds. The spelling is Kubernetes'
(``500m``, ``2``, ``8Gi``), so that a tier reads the same here and on Kubernetes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS = _BINARY | _DECIMAL | {"": 1}
_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


@dataclass(frozen=True, slots=True, order=True)
class Resources:
    """An amount of CPU, in thousandths of a core, of memory, in bytes, and of GPUs."""

    cpu_millis: int
    memory_bytes: int
    gpus: int = 0

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.cpu_millis + other.cpu_millis,
            self.memory_bytes + other.memory_bytes,
            self.gpus + other.gpus,
        )

    def __sub__(self, other: Resources) -> Resources:
        return self + other.times(-1)

    def times(self, count: int) -> Resources:
        """Return this amount ``count`` times."""
        return Resources(self.cpu_millis * count, self.memory_bytes * count, self.gpus * count)

    def fits_in(self, room: Resources) -> bool:
        """Whether this amount is available in ``room``; GPUs count only where some are asked."""
        return (
            self.cpu_millis <= room.cpu_millis
            and self.memory_bytes <= room.memory_bytes
            and self.gpus <= max(0, room.gpus)
        )

    def how_often_in(self, room: Resources) -> int:
        """Return how many times this amount fits in ``room``."""
        times = [room.cpu_millis // self.cpu_millis, room.memory_bytes // self.memory_bytes]
        if self.gpus:
            times.append(room.gpus // self.gpus)
        return max(0, min(times))

    @property
    def or_nothing(self) -> Resources:
        """The same amount, with zero for what is below zero."""
        return Resources(max(0, self.cpu_millis), max(0, self.memory_bytes), max(0, self.gpus))

    def __str__(self) -> str:
        parts = [f"{format_cpu(self.cpu_millis)} CPU", format_memory(self.memory_bytes)]
        return ", ".join([*parts, format_gpus(self.gpus)] if self.gpus else parts)


NOTHING = Resources(0, 0)


def parse_cpu(text: str) -> int:
    """Thousandths of a core from ``"2"``, ``"0.5"`` or ``"500m"``.

    Raises:
        ValueError: with a sentence that names the accepted spellings.
    """
    match = re.fullmatch(r"(\d+)m|(\d+(?:\.\d+)?)", text.strip())
    if not match:
        raise ValueError(f"{text!r} is not an amount of CPU; write cores like 2, 0.5 or 500m")
    millis = int(match[1]) if match[1] else round(float(match[2]) * 1000)
    if millis <= 0:
        raise ValueError(f"{text!r} is not an amount of CPU; it must be more than zero")
    return millis


def parse_memory(text: str) -> int:
    """Bytes from a Kubernetes quantity: ``"8Gi"``, ``"500M"``, ``"1073741824"``.

    Raises:
        ValueError: with a sentence that names the accepted spellings, and the nearest valid
            one when the text is a common slip such as ``8GB`` or ``8gb``.
    """
    text = text.strip()
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(Ki|Mi|Gi|Ti|k|M|G|T)?", text)
    if match:
        bytes_ = round(float(match[1]) * _UNITS[match[2] or ""])
        if bytes_ > 0:
            return bytes_
        raise ValueError(f"{text!r} is not an amount of memory; it must be more than zero")
    slip = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt])i?b?", text, re.IGNORECASE)
    if slip:
        unit = slip[2].upper()
        decimal = "k" if unit == "K" else unit
        raise ValueError(
            f"{text!r} is not an amount of memory; write {slip[1]}{unit}i "
            f"(powers of 1024) or {slip[1]}{decimal} (powers of 1000)"
        )
    raise ValueError(f"{text!r} is not an amount of memory; write it like 512Mi or 8Gi")


def parse_duration_s(text: str) -> float:
    """Seconds from ``"90s"``, ``"10m"``, ``"1h30m"``.

    Raises:
        ValueError: when the text is no duration, is zero, or carries no unit.
    """
    text = text.strip()
    parts = _DURATION_PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r} is not a duration; write it like 90s, 10m or 1h30m")
    seconds = sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)
    if seconds <= 0:
        raise ValueError(f"{text!r} is not a duration; it must be more than zero")
    return seconds


def parse_worker_range(text: str) -> tuple[int, int]:
    """Lowest and highest number of workers from ``"1..4"`` or ``"3"`` (always three).

    Raises:
        ValueError: for anything else, for less than one worker, and for low > high.
    """
    match = re.fullmatch(r"(\d+)(?:\.\.(\d+))?", text.strip())
    if not match:
        raise ValueError(f"{text!r} is not a number of workers; write it like 1..4 or 3")
    low = int(match[1])
    high = int(match[2]) if match[2] else low
    if low < 1:
        raise ValueError(f"{text!r} is not a number of workers; the minimum is 1")
    if low > high:
        raise ValueError(f"{text!r} has its minimum above its maximum; write {high}..{low}")
    return low, high


def format_cpu(millis: int) -> str:
    """Write thousandths of a core as cores: ``1500`` as ``1.5``."""
    return f"{millis / 1000:g}"


def format_memory(bytes_: float) -> str:
    """Write bytes with the largest binary unit of which there is one or more: ``1.5 GiB``."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        if bytes_ >= _BINARY[unit]:
            amount = bytes_ / _BINARY[unit]
            return f"{amount:.3g} {unit}B" if amount < 999.5 else f"{amount:.0f} {unit}B"
    return f"{bytes_:.0f} B"


def format_gpus(count: int) -> str:
    """Write a number of GPUs: ``1 GPU``, ``4 GPUs``, ``no GPU``."""
    return f"{count or 'no'} GPU{'s' * (count > 1)}"


def format_duration(seconds: float) -> str:
    """Write seconds as people do: ``0.7s``, ``45s``, ``3m12s``, ``2h05m``."""
    if seconds < 10:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s" if whole % 60 else f"{whole // 60}m"
    minutes = whole // 60
    return f"{minutes // 60}h{minutes % 60:02d}m"
