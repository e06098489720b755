"""A run's workers and their load over time, as one SVG without any dependency.

The colours are of middle brightness and there is no background, so that it reads on light and on
dark alike. Does not belong here: what the samples mean, where the picture is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.models.usage import Sample

WIDTH, HEIGHT = 700, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 652, 34, 236
_INK, _GRID = "#7d8590", "#7d859055"
_WANTED, _JOINED, _CPU, _MEMORY = "#8b7cf6", "#3b82f6", "#e8850c", "#14a37f"
_MAX_POINTS = 200
_COUNTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
_PERCENTS = (25, 50, 100, 200, 500, 1000, 5000)
_TIMES_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Maps seconds, numbers of workers and percent to coordinates of the picture."""

    start: float
    seconds: float
    workers: int
    percent: int

    def x(self, at: float) -> float:
        return _LEFT + (_RIGHT - _LEFT) * (at - self.start) / self.seconds

    def y_workers(self, count: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * count / self.workers

    def y_percent(self, percent: float) -> float:
        return _BOTTOM - (_BOTTOM - _TOP) * percent / self.percent


def svg_plot(samples: Sequence[Sample]) -> str:
    """Draw workers wanted and joined as steps (left axis), CPU and memory as lines (right axis, %).

    The workers are left out for a plain program. The result is empty for less than two samples; of
    very many samples only some are drawn, because the picture is sent again and again.
    """
    if len(samples) < 2:
        return ""
    samples = [*samples[:: 1 + len(samples) // _MAX_POINTS], samples[-1]]
    has_workers = any(sample.wanted for sample in samples)
    frame = _frame(samples)
    lines = [
        ("CPU %", _CPU, _line(samples, lambda s: frame.y_percent(s.cpu_percent), frame), ""),
        (
            "memory %",
            _MEMORY,
            _line(samples, lambda s: frame.y_percent(s.memory_percent), frame),
            "",
        ),
    ]
    if has_workers:
        wanted = _steps(samples, lambda s: frame.y_workers(s.wanted), frame)
        joined = _steps(samples, lambda s: frame.y_workers(s.joined), frame)
        lines = [("wanted", _WANTED, wanted, "5 4"), ("joined", _JOINED, joined, ""), *lines]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"'
        f' width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        "<title>workers and their load over time</title>",
        *_time_axis(frame),
        *_percent_axis(frame),
        *(_worker_axis(frame) if has_workers else ()),
        *(_curve(*line[1:]) for line in lines),
        *_legend([line[:2] for line in lines]),
        "</svg>",
    ]
    return "\n".join(parts)


def _frame(samples: Sequence[Sample]) -> _Frame:
    start, end = samples[0].at, samples[-1].at
    largest = max(max(sample.wanted, sample.joined) for sample in samples)
    percent = max(max(sample.cpu_percent, sample.memory_percent) for sample in samples)
    return _Frame(
        start=start,
        seconds=max(end - start, 1.0),
        workers=_whole(largest, _stride(largest, _COUNTS)),
        percent=max(100, _whole(percent, _stride(percent, _PERCENTS))),
    )


def _line(samples: Sequence[Sample], y: Callable[[Sample], float], frame: _Frame) -> str:
    points = [f"{frame.x(sample.at):.1f},{y(sample):.1f}" for sample in samples]
    return "M" + " L".join(points)


def _steps(samples: Sequence[Sample], y: Callable[[Sample], float], frame: _Frame) -> str:
    """A number holds until the next sample says otherwise."""
    first, *rest = samples
    moves = [f"H{frame.x(sample.at):.1f} V{y(sample):.1f}" for sample in rest]
    return f"M{frame.x(first.at):.1f},{y(first):.1f} " + " ".join(moves)


def _curve(colour: str, path: str, dashes: str) -> str:
    dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
    return f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashed}/>'


def _time_axis(frame: _Frame) -> Iterator[str]:
    step = _stride(frame.seconds, _TIMES_S, ticks=7)
    for number in range(int(frame.seconds / step) + 1):
        text = format_duration(number * step) if number * step >= 10 else f"{number * step}s"
        yield _text(frame.x(frame.start + number * step), _BOTTOM + 18, text, "middle")
    yield _text((_LEFT + _RIGHT) / 2, _BOTTOM + 36, "time since the first share", "middle")


def _percent_axis(frame: _Frame) -> Iterator[str]:
    for percent in range(0, frame.percent + 1, _stride(frame.percent, _PERCENTS)):
        y = frame.y_percent(percent)
        yield f'<path d="M{_LEFT},{y:.1f} H{_RIGHT}" stroke="{_GRID}" stroke-width="1"/>'
        yield _text(_RIGHT + 8, y + 4, f"{percent} %", "start")


def _worker_axis(frame: _Frame) -> Iterator[str]:
    for count in range(0, frame.workers + 1, _stride(frame.workers, _COUNTS)):
        yield _text(_LEFT - 8, frame.y_workers(count) + 4, str(count), "end")
    yield _text(_LEFT - 36, _TOP - 14, "workers", "start")


def _legend(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    for number, (text, colour) in enumerate(entries):
        x = _RIGHT - 96 * (len(entries) - number)
        yield f'<rect x="{x}" y="{_TOP - 22}" width="14" height="4" fill="{colour}"/>'
        yield _text(x + 20, _TOP - 15, text, "start")


def _text(x: float, y: float, text: str, anchor: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text {place} fill="{_INK}">{text}</text>'


def _stride(largest: float, strides: Sequence[int], ticks: int = 6) -> int:
    """Return the smallest of the strides that needs no more ticks than this."""
    return next((stride for stride in strides if largest / stride <= ticks), strides[-1])


def _whole(largest: float, stride: int) -> int:
    """Return the next multiple of the stride, at least one."""
    return stride * max(1, math.ceil(largest / stride))
