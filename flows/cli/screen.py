"""How a run looks: seven lines that tick off, or one JSON object a line.

stdout carries the program's own output (or JSON); everything of ours goes to stderr.
"""

from __future__ import annotations

import sys
from typing import IO, Any, Protocol

from rich.console import Console
from rich.status import Status
from rich.text import Text

from ebbtide.infra.escaping import json_text, visible
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import STEP_LABELS
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.waiting import wall_s

_LONGEST_PROGRAM = 60
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "warning": ("!", "yellow")}


class Screen(Protocol):
    """Where a viewer shows things."""

    def plan(self, spec: RunSpec) -> None:
        """What is about to happen."""
        ...

    def detached(self, run: str) -> None:
        """The run goes on without us."""
        ...

    def event(self, event: Event, took_s: float | None) -> None:
        """Something happened; for a finished step, how long it took."""
        ...

    def waiting(self, words: str) -> None:
        """What is being waited for now; replaces what was said before."""
        ...

    def output(self, stream: str, data: bytes) -> None:
        """The program wrote something."""
        ...

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:
        """The last words."""
        ...


class JsonScreen:
    """One event a line on stdout, for scripts."""

    def plan(self, spec: RunSpec) -> None:
        """The run's name comes first, so that a script can come back to it."""
        self._line({"kind": "run_started", "run": spec.name, "message": spec.name, "data": {}})

    def detached(self, run: str) -> None:
        """A script knows the way back by the run's name."""
        self._line({"kind": "detached", "run": run, "message": f"ebb logs -f {run}", "data": {}})

    def event(self, event: Event, took_s: float | None) -> None:
        """As recorded."""
        self._line({**to_data(event), "took_s": took_s})

    def waiting(self, words: str) -> None:
        """Nothing: what is waited for comes as events."""

    def output(self, stream: str, data: bytes) -> None:
        """Whole lines where possible."""
        text = data.decode(errors="replace")
        self._line({"kind": "output", "message": text, "data": {"stream": stream}})

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:
        """The run's result."""
        self._line({"kind": "result", "message": lines[0].strip() if lines else "", "data": facts})

    def _line(self, data: dict[str, Any]) -> None:
        print(json_text(data), flush=True)


class TextScreen:
    """For people: permanent lines, and on a terminal one live line below them."""

    def __init__(self, file: IO[str] | None = None):
        self._console = Console(
            file=file or sys.stderr, highlight=False, markup=False, soft_wrap=True
        )
        self._status: Status | None = None
        self._said = ""
        self._began_at = wall_s()

    def plan(self, spec: RunSpec) -> None:
        """Job, cluster, limits."""
        cluster, limits = spec.cluster, spec.limits
        tier = f"tier {cluster.tier.name} ({cluster.tier.resources})"
        policy = cluster.policy
        workers = (
            f"head + {policy.min_workers}–{policy.max_workers} workers · " * cluster.has_workers
        )
        until = f"{format_duration(limits.time_limit_s)}" if limits.time_limit_s else "no"
        idle = format_duration(limits.idle_release_s) if limits.idle_release_s else "never"
        start = format_duration(limits.start_within_s)
        self._print("")
        self._field("Job", f"{_program(spec)} · run {spec.name}")
        pool = cluster.pool
        self._field("Cluster", f"{cluster.framework} · {workers}{tier}")
        self._field("Platform", f"{spec.platform} · pool {pool.name} ({pool.capacity})")
        if spec.job:
            # In place, not in a copy: what it reads and writes is where its author expects it.
            self._field("In", spec.job.workdir)
        self._field("Limits", f"idle release {idle} · start within {start} · {until} time limit")
        self._print("")

    def detached(self, run: str) -> None:
        """How to come back."""
        self._quiet()
        words = f"Detached. The run goes on.   Back   ebb logs -f {run}   Stop   ebb stop {run}"
        self._print(f"  {words}")

    def event(self, event: Event, took_s: float | None) -> None:
        """One line for what matters to a person."""
        self._quiet()
        kind, message = event.kind, event.message
        if kind in (EventKind.STEP_DONE, EventKind.STEP_FAILED) and event.step:
            mark = "done" if kind is EventKind.STEP_DONE else "failed"
            self._step(mark, STEP_LABELS[event.step], message, took_s)
            for name, key in (("why", "detail"), ("fix", "hint"), ("open", "open")):
                if event.data.get(key):
                    self._print(f"      {name}   {event.data[key]}")
        elif kind in (EventKind.SCALED, EventKind.LEFT, EventKind.NOTE):
            minutes, seconds = divmod(int(event.at - self._began_at), 60)
            self._print(f"      {minutes:02}:{seconds:02}  {message}")
        elif kind in (EventKind.WARNING, EventKind.ATTEMPT):
            mark, style = _MARKS["warning"]
            self._print(f"  {mark} {message}", style)

    def waiting(self, words: str) -> None:
        """A live line on a terminal; elsewhere a line when it has changed."""
        if words == self._said:
            return
        self._said = words
        status = Text(f" {visible(words)}")
        if not self._console.is_terminal:
            if words:
                self._print(f"  … {words}")
            return
        if not words:
            self._quiet()
        elif self._status is None:
            self._status = self._console.status(status)
            self._status.start()
        else:
            self._status.update(status)

    def live(self, words: str) -> None:
        """Only on a terminal: something that changes all the time."""
        if self._console.is_terminal:
            self.waiting(words)

    def output(self, stream: str, data: bytes) -> None:
        """Byte for byte, to the stream it was written to."""
        self._quiet()
        target = sys.stdout if stream == "stdout" else sys.stderr
        target.flush()
        target.buffer.write(data)
        target.buffer.flush()

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:  # noqa: ARG002
        """Last words; the very last line is what is still held."""
        self._quiet()
        self._print("")
        for line in lines:
            self._print(f"  {line}")

    def ask(self, question: str) -> None:
        """A question on a terminal; the answer is read elsewhere."""
        self._quiet()
        self._console.print(question, end="")

    def _step(self, kind: str, label: str, message: str, took_s: float | None) -> None:
        mark, style = _MARKS[kind]
        took = format_duration(took_s) if took_s is not None else ""
        line = Text(f"  {mark}", style=style)
        line.append(f" {label:<15} {visible(message):<54} ", style="default")
        line.append(f"{took:>6}", style="dim")
        self._console.print(line)

    def _field(self, name: str, value: str) -> None:
        line = Text(f"  {name:<9}", style="dim")
        line.append(visible(value), style="default")
        self._console.print(line)

    def _print(self, words: str, style: str | None = None) -> None:
        self._console.print(Text(visible(words)), style=style)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
            self._said = ""


def _program(spec: RunSpec) -> str:
    """As one would say it: the built-in job by its name, the interpreter left out."""
    if spec.job is None:
        return "a Python session"
    words = spec.job.argv
    framework = load_framework(spec.cluster.framework) if spec.cluster.has_workers else None
    if framework is not None and words == framework.hello(sys.executable):
        return "hello"
    text = " ".join(words[1:] if words[0] == sys.executable and words[1:] else words)
    return text if len(text) < _LONGEST_PROGRAM else text[: _LONGEST_PROGRAM - 1] + "…"
