"""The command line of ``ebb run``, taken apart without stopping at the first mistake.

And what ``ebb run`` shares with the commands that read: which Kubernetes is meant.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.place import remembered_place
from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.processes.environment import CLUSTER
from ebbtide.infra.request.catalog import place_of
from ebbtide.infra.request.hints import did_you_mean, nearest, problem_from
from ebbtide.infra.request.option import Option
from ebbtide.infra.request.option_values import parse_switch
from ebbtide.infra.request.options import OPTIONS
from ebbtide.infra.request.program.notebook import is_notebook
from ebbtide.infra.settings import load_settings

PLACE = {
    "context": (
        "EBB_CONTEXT",
        "which Kubernetes: a context of the kubeconfig; else its current one",
    ),
    "namespace": ("EBB_NAMESPACE", "namespace of that Kubernetes; else the context's own"),
}
"""Settings of the installation that have a flag: its variable, and its help."""
_KNOWN = {"framework": known_frameworks, "platform": known_platforms}
WAIT_FOR_RECORD = "EBB_WAIT_FOR_RECORD"
"""The variable of ``--wait-for-record``; "no" in it holds for ``--json`` too."""
_SWITCHES = ("detach", "plan", "json", "wait-for-record", "help")


@dataclass(slots=True)
class RunArguments:
    """What was typed after ``ebb run``."""

    argv: tuple[str, ...] = ()
    """The program and its arguments."""
    options: dict[str, Any] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
    output: str = ""
    """How to show a plan: ``yaml``; empty: as text, or as JSON with ``--json``."""
    problems: list[Problem] = field(default_factory=list)

    @property
    def detach(self) -> bool:
        """Whether to return as soon as the run is under way."""
        return "detach" in self.switches

    @property
    def plan(self) -> bool:
        """Whether only to show what would be made."""
        return "plan" in self.switches

    @property
    def json(self) -> bool:
        """Whether to print one JSON object a line on stdout."""
        return "json" in self.switches

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
        if "wait-for-record" in self.switches:
            return True
        if not environ.get(WAIT_FOR_RECORD):
            return self.json or CLUSTER in environ
        try:
            return parse_switch(environ[WAIT_FOR_RECORD])
        except ValueError as error:
            where = f"variable {WAIT_FOR_RECORD}"
            raise ConfigurationError([problem_from(Reason.OPTION_INVALID, where, error)]) from None

    @property
    def help(self) -> bool:
        """Whether only to show the help."""
        return "help" in self.switches


def add_place(parser: ArgumentParser) -> None:
    """Let a command take the flags of ``PLACE``; ``use_place`` has heeded them before."""
    for name, (variable, told) in PLACE.items():
        parser.add_argument(f"--{name}", metavar="NAME", help=f"{told} ({variable})")


def add_platform(parser: ArgumentParser) -> None:
    """Let a command that shows a catalog take ``--platform``."""
    told = "whose pools and tiers, also those that an administrator has written down there"
    parser.add_argument("--platform", choices=known_platforms(), help=told)


def use_place(
    args: Sequence[str], environ: MutableMapping[str, str], cwd: Path, *, remembered: bool
) -> None:
    """Set the variables that say which Kubernetes is meant, so that processes of ours inherit them.

    Flags win over the environment, that over ebb.yaml, that over what was used last.

    Args:
        args: of any command; what follows ``--`` is not ours.
        environ: of this process, which is changed.
        cwd: where ebb.yaml is looked for.
        remembered: whether what was used last counts: for commands that look at what is there.
    """
    for name, text in place_flags(args):
        environ[PLACE[name][0]] = text
    environ.update(place_of(environ, cwd))
    context, namespace = (variable for variable, _ in PLACE.values())
    place = remembered_place(load_settings(environ)) if remembered else None
    if place is not None and not environ.get(context) and not environ.get(namespace):
        place.fill_in(environ)


def place_flags(args: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield names and values of the flags of ``PLACE``; one without a value is left out."""
    ours = list(args[: args.index("--")] if "--" in args else args)
    for number, argument in enumerate(ours):
        flag, equals, value = argument.partition("=")
        name = flag.removeprefix("--")
        if flag.startswith("--") and name in PLACE:
            text = value if equals else "".join(ours[number + 1 : number + 2])
            if text:
                yield name, text


def parse_run(args: list[str]) -> RunArguments:
    """Parse what was typed: options before ``--``, the program's own arguments after it."""
    ours, program = args, []
    if "--" in args:
        cut = args.index("--")
        ours, program = args[:cut], args[cut + 1 :]
    found = RunArguments()
    queue = list(ours)
    argv: list[str] = []
    while queue:
        argument = queue.pop(0)
        if argument in ("-h", "--help"):
            found.switches.add("help")
        elif argument in ("-o", "--output", "-oyaml", "-o=yaml", "--output=yaml"):
            _take_output(argument, queue, found)
        elif argument == "-p" and is_notebook(argv):
            argv += [argument, *queue[:1]]
            del queue[:1]
        elif argument.startswith("-") and len(argument) > 1:
            _take_option(argument, queue, found)
        else:
            argv.append(argument)
    found.argv = (*argv, *program)
    if found.output and not found.plan:
        problem = Problem(Reason.OPTION_INVALID, "-o is for a plan", "--plan -o yaml")
        found.problems.append(problem)
    return found


def _take_output(argument: str, queue: list[str], found: RunArguments) -> None:
    found.output = "yaml"
    asked = "yaml" if argument.endswith("yaml") else (queue.pop(0) if queue else "")
    if asked != "yaml":
        summary = f"a plan is not shown as {asked!r}" if asked else "-o needs a value"
        found.problems.append(Problem(Reason.OPTION_INVALID, summary, "--plan -o yaml"))


def _take_option(argument: str, queue: list[str], found: RunArguments) -> None:
    name, equals, value = argument.lstrip("-").partition("=")
    name = name.replace("_", "-")
    if name in _SWITCHES and not equals:
        found.switches.add(name)
    elif name in PLACE and argument.startswith("--"):
        _take_place(name, equals, queue, found)
    elif name not in OPTIONS or not argument.startswith("--"):
        found.problems.append(_unknown(argument.partition("=")[0], name))
        if not equals and queue and not queue[0].startswith("-") and _meant_value(name):
            queue.pop(0)  # of the option that was meant: it is no program
    elif equals:
        _keep(name, value, found)
    elif OPTIONS[name].switch:
        _keep(name, "yes", found)
    elif queue:
        _keep(name, queue.pop(0), found)
    else:
        problem = Problem(Reason.OPTION_INVALID, f"--{name} needs a value", help_of(OPTIONS[name]))
        found.problems.append(problem)


def _take_place(name: str, equals: str, queue: list[str], found: RunArguments) -> None:
    """Pass over the value: ``use_place`` has heeded it."""
    if not equals and queue:
        queue.pop(0)
    elif not equals:
        problem = Problem(Reason.OPTION_INVALID, f"--{name} needs a value", PLACE[name][1])
        found.problems.append(problem)


def _meant_value(name: str) -> bool:
    """Whether the option that this is a misspelling of wants a value."""
    meant = OPTIONS.get(nearest(name, (*OPTIONS, *_SWITCHES)) or "")
    return meant is not None and not meant.switch


def _keep(name: str, value: str, found: RunArguments) -> None:
    if OPTIONS[name].repeatable:
        found.options.setdefault(name, []).append(value)
    elif name in found.options:
        problem = Problem(Reason.OPTION_INVALID, f"--{name} is given twice", "keep one of them")
        found.problems.append(problem)
    else:
        found.options[name] = value


def _unknown(argument: str, name: str) -> Problem:
    known = [*OPTIONS, *_SWITCHES, *PLACE]
    hint = did_you_mean(
        name, known, prefix="--", otherwise="the program's own arguments go after --"
    )
    return Problem(Reason.OPTION_INVALID, f"there is no option {argument}", hint)


def help_of(option: Option) -> str:
    """Return the help of an option with the values it accepts, where known, and its default."""
    known = _KNOWN[option.name]() if option.name in _KNOWN else ()
    default = f"default {option.default}" if option.default else ""
    more = "; ".join(part for part in (", ".join(known), default) if part)
    return f"{option.help} ({more})" if more else option.help
