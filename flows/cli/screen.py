"""How a run looks: seven lines that tick off, or one JSON object a line.

stdout carries the program's own output (or JSON); everything of ours goes to stderr.
"""

from __future__ import annotations

import sys
from typing import IO, Any, Protocol

from rich.status import Status
from rich.text import Text

from ebbtide.flows.cli.streams import ByteWriter, TextConsole
from ebbtide.infra.escaping import json_text, visible
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import STEP_LABELS
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.resources import format_duration
from ebbtide.infra.request.program.notebook import notebook_of
from ebbtide.infra.waiting import wall_s

_LONGEST_PROGRAM = 60
_LONGEST_MESSAGE = 54
_BESIDE_MESSAGE = 27
"""Columns of a step's line that its message does not have: mark, label, time."""
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "warning": ("!", "yellow")}


class StepClock:
    """Counts how long each step took, of a run's events in their order."""

    def __init__(self) -> None:
        self.last_at = wall_s()
        """When the latest step was finished, or the run began to be shown, in Unix time."""

    def took_s(self, event: Event) -> float | None:
        """Return how long the step took that an event finishes; None for any other event."""
        if event.step is None or event.kind not in (EventKind.STEP_DONE, EventKind.STEP_FAILED):
            return None
        took_s: float = event.data.get("took_s", max(0.0, event.at - self.last_at))
        self.last_at = event.at
        return took_s


class Screen(Protocol):
    """Where a viewer shows a run."""

    def plan(self, spec: RunSpec) -> None:
        """Show what is about to happen."""
        ...

    def detached(self, run: str) -> None:
        """Show that the run goes on without us."""
        ...

    def event(self, event: Event, took_s: float | None) -> None:
        """Show that something happened; for a finished step, how long it took."""
        ...

    def waiting(self, message: str) -> None:
        """Show what is being waited for now, in place of what was shown before."""
        ...

    def output(self, stream: str, data: bytes) -> None:
        """Show what the program has written."""
        ...

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:
        """Show how the run ended."""
        ...


class JsonScreen:
    """Shows a run as one JSON object a line on stdout, for scripts."""

    def plan(self, spec: RunSpec) -> None:
        """Print the run's name first, so that a script can come back to it."""
        self._line({"kind": "run_started", "run": spec.name, "message": spec.name, "data": {}})

    def detached(self, run: str) -> None:
        """Print how a script comes back, by the run's name."""
        self._line({"kind": "detached", "run": run, "message": f"ebb logs -f {run}", "data": {}})

    def event(self, event: Event, took_s: float | None) -> None:
        """Print the event as it was recorded."""
        self._line({**to_data(event), "took_s": took_s})

    def waiting(self, message: str) -> None:
        """Print nothing: what is waited for comes as events."""

    def output(self, stream: str, data: bytes) -> None:
        """Print what the program wrote, whole lines where possible."""
        text = data.decode(errors="replace")
        self._line({"kind": "output", "message": text, "data": {"stream": stream}})

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:
        """Print the run's result."""
        self._line({"kind": "result", "message": lines[0].strip() if lines else "", "data": facts})

    def _line(self, data: dict[str, Any]) -> None:
        print(json_text(data), flush=True)


class TextScreen:
    """Shows a run to people: permanent lines, and on a terminal one live line below them."""

    def __init__(self, file: IO[str] | None = None, *, console: TextConsole | None = None):
        self._console = console or TextConsole(file or sys.stderr, soft_wrap=True)
        self._writers = {"stdout": ByteWriter("stdout"), "stderr": ByteWriter("stderr")}
        self._status: Status | None = None
        self._said = ""
        self._began_at = wall_s()

    def plan(self, spec: RunSpec) -> None:
        """Show the job, its cluster and its limits."""
        cluster, limits = spec.cluster, spec.limits
        tier = f"tier {cluster.tier.name} ({cluster.tier.shape})"
        tier += "".join(f", else {each.tier.name}" for each in spec.next_tiers)
        policy = cluster.policy
        workers = (
            f"head + {policy.min_workers}–{policy.max_workers} workers · " * cluster.has_workers
        )
        until = f"{format_duration(limits.time_limit_s)}" if limits.time_limit_s else "no"
        idle = format_duration(limits.idle_release_s) if limits.idle_release_s else "never"
        start = format_duration(limits.start_within_s)
        self._print("")
        self._field("Job", f"{program_text(spec)} · run {spec.name}")
        pool = cluster.pool
        self._field("Cluster", f"{cluster.framework} · {workers}{tier}")
        self._field("Platform", f"{spec.platform} · pool {pool.name} ({pool.capacity})")
        if spec.job:
            # In place, not in a copy: what it reads and writes is where its author expects it.
            self._field("In", spec.job.code or spec.job.workdir)
        self._field("Limits", f"idle release {idle} · start within {start} · {until} time limit")
        self._print("")

    def detached(self, run: str) -> None:
        """Show how to come back."""
        self._quiet()
        message = f"Detached. The run goes on.   Back   ebb logs -f {run}   Stop   ebb stop {run}"
        self._print(f"  {message}")

    def event(self, event: Event, took_s: float | None) -> None:
        """Show one line for what matters to a person."""
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
            if event.data.get("hint"):
                self._print(f"      fix   {event.data['hint']}")

    def waiting(self, message: str) -> None:
        """Show a live line on a terminal; elsewhere a line whenever it has changed."""
        if message == self._said:
            return
        self._said = message
        status = Text(f" {visible(message)}")
        if not self._console.is_live:
            if message:
                self._print(f"  … {message}")
            return
        if not message:
            self._quiet()
        elif self._status is None:
            self._status = self._console.status(status)
            self._status.start()
        else:
            self._status.update(status)

    def live(self, message: str) -> None:
        """Show something that changes all the time; only on a terminal."""
        if self._console.is_live:
            self.waiting(message)

    def output(self, stream: str, data: bytes) -> None:
        """Write the program's bytes to the stream that it wrote them to."""
        self._quiet()
        self._writers[stream].write(data)

    def ended(self, lines: list[str], facts: dict[str, Any]) -> None:  # noqa: ARG002
        """Show how the run ended; the very last line is what is still held."""
        self._quiet()
        self._print("")
        for line in lines:
            self._print(f"  {line}")

    def ask(self, question: str) -> None:
        """Show a question on a terminal; the answer is read elsewhere."""
        self._quiet()
        self._console.print(question, end="")

    def _step(self, kind: str, label: str, message: str, took_s: float | None) -> None:
        mark, style = _MARKS[kind]
        took = format_duration(took_s) if took_s is not None else ""
        line = Text(f"  {mark}", style=style)
        room = max(0, min(_LONGEST_MESSAGE, self._console.width - _BESIDE_MESSAGE))
        line.append(f" {label:<15} {visible(message):<{room}} ", style="default")
        line.append(f"{took:>6}", style="dim")
        self._console.print(line)

    def _field(self, name: str, value: str) -> None:
        line = Text(f"  {name:<9}", style="dim")
        line.append(visible(value), style="default")
        self._console.print(line)

    def _print(self, message: str, style: str | None = None) -> None:
        self._console.print(Text(visible(message)), style=style)

    def _quiet(self) -> None:
        if self._status is not None:
            self._status.stop()
            self._status = None
            self._said = ""


def program_text(spec: RunSpec) -> str:
    """As one would say it: the built-in job by its name, the interpreter left out."""
    if spec.job is None:
        return "a Python session"
    argv = spec.job.argv
    framework = load_framework(spec.cluster.framework) if spec.cluster.has_workers else None
    if framework is not None and argv == framework.hello(sys.executable):
        return "hello"
    shown = notebook_of(argv) or (argv[1:] if argv[0] == sys.executable and argv[1:] else argv)
    text = " ".join(shown)
    return text if len(text) < _LONGEST_PROGRAM else text[: _LONGEST_PROGRAM - 1] + "…"
