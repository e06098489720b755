"""The command line of ``ebb run``: the options of a run, from their table, and the program."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import click

from ebbtide.flows.cli.parsing import names
from ebbtide.flows.cli.parsing.command import Argument, Command, Option, place_flags
from ebbtide.flows.cli.parsing.mistakes import mistakes_of
from ebbtide.flows.cli.place import PLACE
from ebbtide.flows.cli.preparing import Preparation, prepare
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.processes.environment import CLUSTER
from ebbtide.infra.request import option as table
from ebbtide.infra.request.hints import problem_from
from ebbtide.infra.request.option_values import parse_switch
from ebbtide.infra.request.options import OPTIONS
from ebbtide.infra.request.program.notebook import is_notebook
from ebbtide.infra.request.spec import HELLO

GROUPS = {
    "Cluster": ("framework", "tier", "head-tier", "workers", "priority"),
    "Scaling": (
        *("target-cpu", "target-memory", "scale-on", "target-backlog", "scale-up-window"),
        *("scale-up-step", "scale-down-window", "scale-down-step"),
    ),
    "Program": ("workdir", "code", "code-limit", "env", "secret", "outputs", "bridge"),
    "Run": ("name", "tag", "owner"),
    "Limits": (
        *("start-within", "time-limit", "idle-release", "idle-action", "no-progress"),
        *("max-output", "max-processes"),
    ),
    "Failures": ("retry", "attempts", "replacements", "lease"),
    "Place": ("platform",),
}
"""Names of all options, by the title that they stand below in the help."""
WAIT_FOR_RECORD = "EBB_WAIT_FOR_RECORD"
"""The variable of ``--wait-for-record``; "no" in it holds for ``--json`` too."""
_KNOWN = {"framework": known_frameworks, "platform": known_platforms}
_COMPLETED: Mapping[str, names.Completer] = {
    **{name: names.one_of(known) for name, known in _KNOWN.items()},
    **dict.fromkeys(("tier", "head-tier"), names.several_of(names.tiers)),
    "workdir": names.folder,
}
_YAML = "yaml"
_AS_YAML = "--plan -o yaml"
_DOES = "What ebb does and prints"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunArguments:
    """What was typed after ``ebb run``."""

    argv: tuple[str, ...] = ()
    """The program and its arguments."""
    options: dict[str, Any] = field(default_factory=dict)
    """Texts of the options that were given, by name; a list where one may be repeated."""
    place: dict[str, str] = field(default_factory=dict)
    """Values of the flags of ``PLACE`` that were given."""
    detach: bool = False
    """Whether to return as soon as the run is under way."""
    plan: bool = False
    """Whether only to show what would be made."""
    output: str = ""
    """How to show a plan: ``yaml``; empty: as text, or as JSON with ``--json``."""
    json: bool = False
    """Whether to print one JSON object a line on stdout."""
    waits: bool = False
    """Whether ``--wait-for-record`` was given."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with the line. What is wrong with values is found with the spec."""

    def wait_for_record(self, environ: Mapping[str, str]) -> bool:
        """Whether to wait until the run's record in Prefect is finished too.

        A script that takes ``--json`` may well read Prefect next. A run that a program of another
        run has started waits as well: what outlives that program is ended with its cluster.

        Args:
            environ: of this process; ``WAIT_FOR_RECORD`` and the mark of a cluster are looked for.

        Returns:
            What was asked for, by flag or variable; else what suits the caller.

        Raises:
            ConfigurationError: the variable says neither yes nor no.
        """
        if self.waits:
            return True
        if not environ.get(WAIT_FOR_RECORD):
            return self.json or CLUSTER in environ
        try:
            return parse_switch(environ[WAIT_FOR_RECORD])
        except ValueError as error:
            where = f"variable {WAIT_FOR_RECORD}"
            raise ConfigurationError([problem_from(Reason.OPTION_INVALID, where, error)]) from None


class RunLine(Command):
    """A command that takes the options of a run, and a program; its function has RunArguments.

    It tells no mistake by itself: its function has them, and adds what is wrong with the values.
    """

    otherwise = "the program's own arguments go after --"

    def __init__(self, name: str | None, *, json: str, usages: tuple[str, ...] = (), **attrs: Any):
        params = [*_program(), *_options_of_a_run(), *place_flags("Place"), *_switches(json)]
        super().__init__(name, **{**attrs, "params": params, "json": ""})
        self._usages = usages

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse options before ``--``; the program's own arguments follow it."""
        cut = args.index("--") if "--" in args else len(args)
        ours = [f"{word}=yes" if _is_switch(word) else word for word in args[:cut]]
        rest = super().parse_args(ctx, ours)
        if not ctx.resilient_parsing:
            _note_what_does_not_fit(ctx)
        ctx.params["program"] = (*ctx.params["program"], *args[cut + 1 :])
        return rest

    def invoke(self, ctx: click.Context) -> int:
        """Do what was asked for."""
        prepare(self.preparation, ctx.params)
        assert self.callback is not None
        return int(self.callback(arguments_of(ctx)))

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a line for each way to call it."""
        usages = self._usages or (" ".join(self.collect_usage_pieces(ctx)),)
        for number, usage in enumerate(usages):
            prefix = "Usage: " if number == 0 else "       "
            formatter.write_usage(ctx.command_path, usage, prefix=prefix)


def run_line(
    name: str, told: str, preparation: Preparation, **attrs: Any
) -> Callable[[Callable[[RunArguments], int]], RunLine]:
    """Make a command of a function: one that takes the options of a run (a decorator).

    Args:
        name: as it is typed.
        told: what its help says.
        preparation: what it needs before it does its work.
        attrs: of the class ``RunLine``; ``usages`` are the ways to call it, ``json`` is what its
            help says of ``--json``.

    Returns:
        The decorator.
    """
    return click.command(name, cls=RunLine, help=told, preparation=preparation, **attrs)


def arguments_of(ctx: click.Context) -> RunArguments:
    """Return what was typed."""
    typed = ctx.params
    given = {name: typed[_parameter(name)] for name in OPTIONS}
    return RunArguments(
        argv=typed["program"],
        options={
            name: list(texts) if OPTIONS[name].repeatable else texts[0]
            for name, texts in given.items()
            if texts
        },
        place={name: typed[name] for name in PLACE if typed[name]},
        detach=typed["detach"],
        plan=typed["plan"],
        output="" if typed["output"] is None else _YAML,
        json=typed["json"],
        waits=typed["wait_for_record"],
        problems=tuple(mistakes_of(ctx).problems),
    )


def help_of(option: table.Option) -> str:
    """Return the help of an option with the values it accepts, where known, and its default."""
    known = _KNOWN[option.name]() if option.name in _KNOWN else ()
    default = f"default {option.default}" if option.default else ""
    more = "; ".join(part for part in (", ".join(known), default) if part)
    return f"{option.help} ({more})" if more else option.help


class _OfARun(Option):
    """An option of the table. Its value stays the text that was typed."""

    def __init__(self, option: table.Option, section: str):
        super().__init__(
            [option.flag],
            multiple=True,  # else nobody would know that it was given twice
            metavar=option.metavar,
            help=f"{help_of(option)} [{option.variable}]",
            section=section,
            shell_complete=_COMPLETED.get(option.name),
        )
        self._switch = option.switch

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return its flag and what it does; the value of a switch needs an equals sign."""
        if self._switch:
            return f"{self.opts[0]}[={self.metavar}]", self.help or ""
        return super().get_help_record(ctx)


def _program() -> Iterator[click.Parameter]:
    yield Argument(
        ["program"], nargs=-1, metavar="PROGRAM", shell_complete=names.built_in_or_file(*HELLO)
    )
    yield Option(["-p"], multiple=True, hidden=True)  # of a notebook: its usage shows it


def _options_of_a_run() -> Iterator[click.Option]:
    for section, grouped in GROUPS.items():
        yield from (_OfARun(OPTIONS[name], section) for name in grouped)


def _switches(json: str) -> Iterator[click.Option]:
    section = _DOES
    flags = {
        "--detach": "return at once; the run goes on in the background, on Kubernetes without this"
        " machine",
        "--plan": "show what would be made, and make nothing",
        "--wait-for-record": "return when the run's record in Prefect is finished too, as with"
        " --json; else that is done in the background, within seconds (Kubernetes: before)"
        f" [{WAIT_FOR_RECORD}]",
    }
    for flag, told in flags.items():
        yield Option([flag], is_flag=True, help=told, section=section)
    yield Option(
        ["-o", "--output"],
        metavar="yaml",
        callback=_plan_format,
        shell_complete=names.one_of(lambda: [_YAML]),
        help="with --plan: show every object (Kubernetes), for kubectl apply -f",
        section=section,
    )
    yield Option(["--json"], is_flag=True, help=json, section=section)


def _plan_format(ctx: click.Context, _param: click.Parameter, typed: str | None) -> str | None:
    """Return how a plan is to be shown; also ``-o=yaml`` is yaml, and another one is a mistake."""
    found = typed.removeprefix("=") if typed else typed
    if found not in (None, _YAML):
        mistakes_of(ctx).add(f"a plan is not shown as {found!r}", _AS_YAML)
    return found


def _note_what_does_not_fit(ctx: click.Context) -> None:
    """Note an option that is given twice, and one without what it is for."""
    mistakes, typed = mistakes_of(ctx), ctx.params
    for name, option in OPTIONS.items():
        if not option.repeatable and len(typed[_parameter(name)] or ()) > 1:
            mistakes.add(f"--{name} is given twice", "keep one of them")
    if typed["output"] and not typed["plan"]:
        mistakes.add("-o is for a plan", _AS_YAML)
    if typed["p"] and not is_notebook(typed["program"]):
        mistakes.add("there is no option -p", "it is a notebook's: ebb run train.ipynb -p epochs=3")
    for parameter in typed["p"]:
        typed["program"] += ("-p", parameter)


def _parameter(name: str) -> str:
    """The name of an option as that of a parameter."""
    return name.replace("-", "_")


def _is_switch(word: str) -> bool:
    """Whether it is a switch of the table without a value, which then is yes."""
    name = word.removeprefix("--").replace("_", "-")
    return word.startswith("--") and name in OPTIONS and OPTIONS[name].switch
