"""``ebb why``: cause, evidence and fix on one screen."""

from __future__ import annotations

from typing import Any

from ebbtide.flows.cli.output import known_run, print_json, show
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, run_argument
from ebbtide.flows.cli.runs.timing import show_timing
from ebbtide.infra.lifecycle.inventory import last_view
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.base import Platform, end_of_log, load_platform
from ebbtide.infra.policy.explain.diagnosis import Story, diagnose
from ebbtide.infra.policy.explain.telling import error_line, telling_line
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wall_s

_DESCRIPTION = """Says why a run waits, failed or was slow, from what was recorded; also days later.
JSON: an object with the keys run, phase, reason, cause, evidence (a list), fix, exit_code.
With --timing: run and spans, a list of {process, what, start_s, end_s} since the command."""
_LAST_LINES = 5
_LAST_BYTES = 2**16
_DIED_OF = {
    Reason.SUPERVISOR_LOST: ("supervisor",),
    Reason.FLOW_LOST: ("flow",),
    Reason.LEASE_LAPSED: ("flow",),
}
"""Whose log may say why a run ended."""


@command("why", _DESCRIPTION, place=KUBERNETES)
@run_argument(help="the name of a run: ebb ps -a lists them")
@option("--timing", is_flag=True, help="where its start and end went")
def main(options: Any) -> int:
    """Explain a run."""
    settings = load_settings()
    store = open_to_look(settings)
    run = known_run(store, options.run)
    if options.timing:
        show_timing(store, run, as_json=options.json)
        return ExitCode.OK
    platform = load_platform(run.spec.platform, settings, store)
    view = last_view(store, run.name)
    story = Story(
        phase=run.phase,
        reason=run.reason,
        detail=run.detail,
        exit_code=run.exit_code,
        created=run.created,
        events=store.events(options.run),
        last_lines=_last_lines(_stderr(platform, run)) if run.reason else (),
        view=None if run.over else view,
        now=wall_s(),
        autoscaler=view.autoscaler,
        said=_said(platform, run, view),
    )
    found = diagnose(story)
    fix = found.fix.replace("RUN", options.run)
    if options.json:
        document = {
            "run": options.run,
            "phase": story.phase.value,
            "reason": found.reason.value if found.reason else None,
            "cause": found.cause,
            "evidence": list(found.evidence),
            "fix": fix,
            "exit_code": story.exit_code,
        }
        print_json(document)
        return ExitCode.OK
    show(f"{options.run} · {story.phase.value}" + (f" · {found.reason}" if found.reason else ""))
    show(f"  cause     {found.cause}")
    for number, line in enumerate(found.evidence):
        show(f"  {'evidence' if number == 0 else '        '}  {line}")
    if fix:
        show(f"  fix       {fix}")
    return ExitCode.OK


def _said(platform: Platform, run: Run, view: ClusterView) -> dict[str, str]:
    """Find what tells most in the logs of what the run waits for, or of what it died."""
    if run.over:
        sources = _DIED_OF.get(run.reason, ()) if run.reason else ()
        return {source: error_line(end_of_log(platform, run.name, source)) for source in sources}
    if view.admitted_at is None or not run.spec.cluster.has_workers:
        return {}
    waits_for = ("head",) if view.head_ready_at is None else view.workers_missing
    return {source: telling_line(end_of_log(platform, run.name, source)) for source in waits_for}


def _stderr(platform: Platform, run: Run) -> str:
    log = platform.logs(run.name, "job")["stderr"]
    log.skip(_LAST_BYTES)
    return b"".join(log.pieces()).decode(errors="replace")


def _last_lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.splitlines() if line.strip())[-_LAST_LINES:]
