"""``ebb why --timing``: where a run's start and end went, process by process."""

from __future__ import annotations

from dataclasses import asdict

from ebbtide.flows.cli.output import print_json, show
from ebbtide.infra.models.records import Run
from ebbtide.infra.policy.explain.timing import Span, Timed, flow_times, milestones, spans_of
from ebbtide.infra.records.store import RunStore

_DIGITS = 3


def show_timing(store: RunStore, run: Run, *, as_json: bool) -> None:
    """Print the spans of a run that goes on or is over.

    Args:
        store: with the run.
        run: it.
        as_json: one document, ``{"run": …, "spans": [{"process", "what", "start_s", "end_s"}]}``,
            in place of lines for people.
    """
    timed = Timed(run, store.last_cluster(run.name), flow_times(store.events(run.name)))
    spans = spans_of(timed)
    if as_json:
        print_json({"run": run.name, "spans": [_rounded(span) for span in spans]})
        return
    show(f"{run.name} · {run.phase.value}")
    after = (f"{what} after {at_s:.2f} s" for what, at_s in milestones(spans).items())
    show(f"  {' · '.join(after) or 'nothing of what a person waits for is known yet'}")
    for line in lines_of(spans):
        show(f"  {line}")


def lines_of(spans: tuple[Span, ...]) -> list[str]:
    """Return one line for each span, aligned."""
    cells = [(f"{span.start_s:.2f}", f"{span.end_s - span.start_s:.2f}", span) for span in spans]
    at = max((len(start) for start, _, _ in cells), default=0)
    took = max((len(length) for _, length, _ in cells), default=0)
    return [
        f"at {start:>{at}} s  took {length:>{took}} s  {span.process}: {span.what}"
        for start, length, span in cells
    ]


def _rounded(span: Span) -> dict[str, object]:
    return asdict(span) | {
        "start_s": round(span.start_s, _DIGITS),
        "end_s": round(span.end_s, _DIGITS),
    }
