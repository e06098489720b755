"""``ebb run``: check, launch, show, and give the program's exit code."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from ebbtide.flows.cli.output import say
from ebbtide.flows.cli.parsing.run_line import RunArguments, run_line
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.flows.cli.reaping import Reaping
from ebbtide.flows.cli.runs.stdin import Stdin
from ebbtide.flows.cli.runs.viewer import Viewer
from ebbtide.flows.cli.screen import JsonScreen, Screen, TextScreen
from ebbtide.flows.detached.ordering import WorkPoolFlow
from ebbtide.flows.detached.pools import Choice, choose
from ebbtide.flows.launch import launch, leave
from ebbtide.flows.prefect_server import api
from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.escaping import json_text
from ebbtide.infra.lifecycle.submission import RunRequest, spec_for
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.job import CommandTimes, RunSpec
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.platforms.extras import Departure, FlowMaker, departure_of, plan_objects
from ebbtide.infra.processes.identity import started_at, this_process
from ebbtide.infra.records import runs
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wall_s

_USAGES = (
    "[OPTIONS] PROGRAM [-- ARGUMENTS]",
    "[OPTIONS] -- COMMAND",
    "[OPTIONS] NOTEBOOK.ipynb [-p NAME=VALUE ...]",
    "hello",
)
_TOLD = """Runs a program on a cluster of its own, and releases the cluster when the program ends.
The program runs in place, in --workdir (default: the current folder). Every option can also be set
by the variable in brackets, or by a key under run: in ebb.yaml."""
_EXIT_CODE = """Exit code: the program's own; 64 misconfiguration, 69 no capacity in time, 70
infrastructure, 75 temporary failure, 124 time limit or idle, 130 stopped, 141 the reader of its
output has gone."""
_JSON = """one event per line on stdout: at, run, cluster, kind, step, reason, message, data; the
program's output as kind output, data.stream"""
_NEEDS = Preparation(remembered=False, changes=True, releases_itself=True)
_SERVER_TIMEOUT_S = 5.0
_IMPORTED_AT = wall_s()


@run_line("run", _TOLD, _NEEDS, usages=_USAGES, json=_JSON, epilog=_EXIT_CODE)
def main(arguments: RunArguments) -> int:
    """Run a program on a cluster of its own."""
    settings = load_settings()
    store = open_store(settings)
    spec = _checked_spec(arguments)
    if arguments.plan:
        spec = replace(spec, name=runs.free_name(store, spec.name))
        if arguments.output:
            return _print_objects(spec)
        return _print_plan(spec, as_json=arguments.json)
    waits = arguments.wait_for_record(os.environ)
    _check_prefect(os.environ)
    return _run(settings, store, spec, arguments, wait_for_record=waits)


def _checked_spec(arguments: RunArguments) -> RunSpec:
    """Make the spec, or raise one error for all that is wrong: options, file and program."""
    try:
        request = RunRequest(argv=arguments.argv, options=arguments.options)
        spec = spec_for(request, os.environ, Path.cwd())
    except ConfigurationError as error:
        raise ConfigurationError([*arguments.problems, *error.problems]) from None
    if arguments.problems:
        raise ConfigurationError(list(arguments.problems))
    return spec


def _check_prefect(environ: Mapping[str, str]) -> None:
    """Check that a server that was named answers and accepts us, before anything is made."""
    named = api.named(environ)
    if named is not None:
        api.check(named, environ, timeout_s=_SERVER_TIMEOUT_S)


def _run(
    settings: Settings,
    store: RunStore,
    spec: RunSpec,
    arguments: RunArguments,
    *,
    wait_for_record: bool,
) -> int:
    screen: Screen = JsonScreen() if arguments.json else TextScreen()
    away = _departure(settings, spec) if arguments.detach else None
    if away is not None:
        with Reaping(settings, spec):
            return _leave(store, spec, away, screen)
    with (
        Reaping(settings, spec),
        _Interrupts() as interrupts,
        contextlib.ExitStack() as attached,
    ):
        spec = runs.begin(store, replace(spec, command=_command_times()))
        with runs.ended_when_it_fails(store, spec.name):
            screen.plan(spec)
            stdin = Stdin()
            if not arguments.detach:
                platform = load_platform(spec.platform, settings, store)
                attached.enter_context(stdin.passed_on(platform, spec.name))
        flow = launch(settings, store, spec, detach=arguments.detach)
        if arguments.detach:
            screen.detached(spec.name)
            return ExitCode.OK
        try:
            viewer = Viewer(settings, store, spec, flow, screen, stdin)
            return viewer.follow(interrupts.pending, wait_for_record=wait_for_record)
        except EbbError as error:  # the ledger cannot be read any more, say
            error.run = spec.name
            flow.close()  # stops the run, as a terminal that is closed does
            raise


def _command_times() -> CommandTimes | None:
    """When this process got how far: for ``ebb why --timing``."""
    began_at = started_at(os.getpid())
    if began_at is None:
        return None
    return CommandTimes(started_at=began_at, imported_at=_IMPORTED_AT)


def _departure(settings: Settings, spec: RunSpec) -> Departure | None:
    """How the run's flow leaves this machine; None: it stays, and why is said."""
    away = departure_of(spec, settings)
    if away is None or away.finding.state == "ok":
        return away
    say(f"  ! {away.finding.detail}; to mend it: {away.finding.fix}")
    return None


def _leave(store: RunStore, spec: RunSpec, away: Departure, screen: Screen) -> int:
    """Begin a run, and hand it over to a flow where its cluster will be."""
    choice = choose(os.environ, away.namespace)
    with _Interrupts() as interrupts:
        begun = replace(away.spec, command=_command_times())
        name = runs.begin(store, begun, flow_process=this_process()).name
        with runs.ended_when_it_fails(store, name):
            screen.plan(replace(spec, name=name))
            maker = _maker_of(choice, away)

            def waits(why: str) -> bool:
                screen.waiting(why)
                return interrupts.pending() is None

            leave(store, away, name, waits, maker)
        screen.detached(name)
    return ExitCode.OK


def _maker_of(choice: Choice, away: Departure) -> FlowMaker | None:
    """Who makes the flow's Job, and says so; None: the platform, and why Prefect has no part."""
    if choice.pool is None:
        if choice.why:
            say(f"  ! not recorded in Prefect: the flow runs without it; {choice.why}")
        return None
    say(f"  Flow     by work pool {choice.pool.name} of {choice.pool.api.url}")
    return WorkPoolFlow(choice.pool, away.namespace)


class _Interrupts:
    """Turns Ctrl-C, SIGTERM and a closed terminal into something to look at between ticks."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> _Interrupts:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def pending(self) -> int | None:
        """Return the oldest signal that nobody has looked at; None when there is none."""
        return self._received.pop(0) if self._received else None

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)


def _print_plan(spec: RunSpec, *, as_json: bool) -> int:
    """Show what would be made. Nothing is."""
    if as_json:
        print(json_text({"plan": to_data(spec)}))
        return ExitCode.OK
    TextScreen(sys.stdout).plan(spec)
    print("  Plan     nothing was started")
    return ExitCode.OK


def _print_objects(spec: RunSpec) -> int:
    """Show every object that would be made, for ``kubectl apply -f``."""
    found = plan_objects(spec, os.environ, Path.cwd())
    if found is None:
        summary = f"platform {spec.platform} makes no objects"
        hint = "--platform kubernetes, or --plan without -o"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    things, told = found
    print("".join(f"# {line}\n" for line in told.splitlines()), end="")
    print(yaml.safe_dump_all(things, sort_keys=False), end="")
    return ExitCode.OK
