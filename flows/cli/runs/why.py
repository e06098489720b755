"""``ebb why``: cause, evidence and fix on one screen."""

from __future__ import annotations

from ebbtide.flows.cli.output import Parser, known_run, print_json, show
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.platforms.base import LogStream, load_platform
from ebbtide.infra.policy.explain.diagnosis import Story, diagnose
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Says why a run waits, failed or was slow, from what was recorded; also days later.
JSON: an object with the keys run, phase, reason, cause, evidence (a list), fix, exit_code."""
_LAST_LINES = 5
_LAST_BYTES = 2**16


def main(args: list[str]) -> int:
    """Explain a run."""
    parser = Parser("why", _DESCRIPTION)
    parser.add_argument("run")
    options = parser.take(args)
    settings = load_settings()
    store = open_to_look(settings)
    run = known_run(store, options.run)
    platform = load_platform(run.spec.platform, settings, store)
    story = Story(
        phase=run.phase,
        reason=run.reason,
        detail=run.detail,
        exit_code=run.exit_code,
        created=run.created,
        events=store.events(options.run),
        last_lines=_last_lines(platform.logs(run.name, "job")["stderr"]) if run.reason else (),
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


def _last_lines(log: LogStream) -> tuple[str, ...]:
    log.skip(_LAST_BYTES)
    lines = b"".join(log.pieces()).decode(errors="replace").splitlines()
    return tuple(line for line in lines if line.strip())[-_LAST_LINES:]
