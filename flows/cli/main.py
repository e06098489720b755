"""The entry of ``ebb``: finds the command, runs it, and shows every error as text."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from ebbtide.flows.cli.arguments import use_place
from ebbtide.flows.cli.commands import COMMANDS, ROOMS, loaded
from ebbtide.flows.cli.output import say
from ebbtide.flows.cli.reaping import release_unowned
from ebbtide.flows.cli.streams import silence_closed_pipes
from ebbtide.infra.errors import ConfigurationError, EbbError, Problem, ProvisioningError
from ebbtide.infra.escaping import json_text
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.processes.environment import become_private
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wall_s

_WITHOUT_LEDGER = ("doctor", "held", "status", "restore", "config", "init", "completion")
"""Commands that say by themselves what is wrong with the ledger, or begin without one."""
_WITHOUT_PLACE = ("config", "completion")
"""Commands that ask no Kubernetes, and say where it is named."""
_PUT_IN_ORDER = ("run", "stop", "up", "down", "prune")
"""Commands that change things: what nobody owns any more is released first. Others only look."""
_PUTS_IN_ORDER_ITSELF = "run"
"""It knows what need not be waited for."""
_BEGIN_ANEW = ("run", "up", "init")
"""Commands that begin something: the Kubernetes that was used last is not meant by that."""
_ONLY_LOOK = {"-h", "--help", "--plan", "--dry-run", "--print-unit"}
"""With one of these none of them changes anything."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is None:  # as the console script: the whole process is ours
        become_private()
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(_help())
        return ExitCode.OK
    if argv[0] in ("-V", "--version"):
        print(f"ebb {version('ebbtide')}")
        return ExitCode.OK
    ours = argv[: argv.index("--")] if "--" in argv else argv
    as_json = "--json" in ours
    try:
        return _dispatch(argv)
    except EbbError as error:
        silence_closed_pipes()
        _show_error(error, command=argv[0], as_json=as_json)
        return error.exit_code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        silence_closed_pipes()  # whoever read our output has gone: nothing is wrong
        return ExitCode.OK
    except Exception as error:  # never a traceback of ours in front of a user
        say(f"✗ ebb itself failed: {error!r}; details in {_save_traceback()}")
        return ExitCode.INFRASTRUCTURE


def _dispatch(argv: list[str]) -> int:
    name, args = argv[0], argv[1:]
    if name not in COMMANDS:
        hint = did_you_mean(name, list(COMMANDS), prefix="ebb ", otherwise="see ebb --help")
        problem = Problem(Reason.OPTION_INVALID, f"there is no command {name!r}", hint)
        raise ConfigurationError([problem])
    if name not in _WITHOUT_PLACE:
        use_place(args, os.environ, Path.cwd(), remembered=name not in _BEGIN_ANEW)
    if name not in _WITHOUT_LEDGER:
        ours = args[: args.index("--")] if "--" in args else args
        changes = name in _PUT_IN_ORDER and _ONLY_LOOK.isdisjoint(ours)
        settings = load_settings()
        if _has_ledger(settings, put_in_order=changes) and name != _PUTS_IN_ORDER_ITSELF:
            release_unowned(settings)
    return loaded(name)(args)


def _has_ledger(settings: Settings, *, put_in_order: bool) -> bool:
    """Report what became of the ledger; whether there is something to put in order, and we can."""
    if not settings.home.exists():
        return False
    ledger = Ledger(settings.home)
    try:
        ledger.check()
    except ProvisioningError as error:  # a full disk: what only looks can go on without
        if put_in_order:
            why = f"{error.detail or error.summary}; {error.hint}"
            say(f"! what has no owner cannot be released: {why}")
        return False
    if ledger.moved_aside is not None:
        say(f"! the ledger was corrupt: moved to {ledger.moved_aside}; living runs register again")
    return put_in_order


def _show_error(error: EbbError, *, command: str, as_json: bool) -> None:
    problems = error.problems if isinstance(error, ConfigurationError) else ()
    if as_json:
        listed = [
            {"reason": p.reason.value, "summary": p.summary, "hint": p.hint} for p in problems
        ]
        body = {
            "reason": error.reason.value,
            "summary": error.summary,
            "detail": error.detail,
            "hint": error.hint,
            "run": error.run or None,
            "problems": listed,
        }
        print(json_text({"error": body}))
        return
    for problem in problems:
        _show_problem(problem.summary, "", problem.hint)
    if not problems:
        _show_problem(error.summary, error.detail, error.hint)
    say(f"  {error.reason}{_what_became_of_it(error, command)}")


def _what_became_of_it(error: EbbError, command: str) -> str:
    """Say what is so: a run that has begun is in the ledger, with its end."""
    if error.run and error.released:
        return f" · run {error.run} has ended and what it held is released: see ebb why {error.run}"
    if error.run:
        return f" · run {error.run} had begun and may still hold something: see ebb held"
    return " · nothing was started" if command == "run" else ""


def _show_problem(summary: str, detail: str, hint: str) -> None:
    say(f"  ✗ {summary}")
    if detail:
        say(f"      why   {detail}")
    if hint:
        say(f"      fix   {hint}")


def _save_traceback() -> str:
    path = load_settings().home / f"crash-{int(wall_s())}.log"
    try:
        path.write_text(traceback.format_exc())
    except OSError:
        return "no file (the home folder cannot be written)"
    return str(path)


def _commands_of(room: str) -> Iterator[str]:
    for name, (module, what) in COMMANDS.items():
        if module.startswith(f"{room}."):
            yield f"  {name:<11}{what}"


def _help() -> str:
    lines = [
        "ebb: run a Python job on a cluster of its own, and get every machine back when it ends.",
        "",
        "usage: ebb COMMAND [options]      ebb COMMAND --help",
        *(line for room, title in ROOMS.items() for line in ("", f"{title}:", *_commands_of(room))),
        "",
        "Begin with:",
        "  ebb run hello                            a first look: grows, shrinks and ends",
        "  ebb run train.py -- --epochs 3           your own program",
        "  ebb run --workers 1..8 --detach -- python train.py",
    ]
    return "\n".join(lines)
