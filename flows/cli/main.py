"""The entry of ``ebb``: finds the command, runs it, and shows every error as text."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from ebbtide.flows.cli.commands import EBB
from ebbtide.flows.cli.output import say
from ebbtide.flows.cli.parsing import shells
from ebbtide.flows.cli.streams import silence_closed_pipes
from ebbtide.infra.errors import ConfigurationError, EbbError
from ebbtide.infra.escaping import json_text
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.processes.environment import become_private
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wall_s


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if argv is None:  # as the console script: the whole process is ours
        become_private()
        if shells.ASKED in os.environ:
            return _answer_a_shell(os.environ[shells.ASKED])
    argv = list(sys.argv[1:] if argv is None else argv)
    ours = argv[: argv.index("--")] if "--" in argv else argv
    as_json = "--json" in ours
    try:
        return _dispatch(argv)
    except click.exceptions.Exit as done:  # after --help and --version
        return done.exit_code
    except EbbError as error:
        silence_closed_pipes()
        _show_error(error, command="".join(argv[:1]), as_json=as_json)
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
    if argv[:1] == ["help"]:
        argv = [*argv[1:], "--help"]
    with EBB.make_context("ebb", argv) as ebb:
        return int(EBB.invoke(ebb))


def _answer_a_shell(asked: str) -> int:
    """Say what may follow in a line that is being typed; nothing is written between its words."""
    with contextlib.suppress(Exception):
        return shells.answer(asked, EBB)
    return ExitCode.INFRASTRUCTURE


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
