"""The command line of ``ebb run``, taken apart without stopping at the first mistake."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.request.hints import did_you_mean, nearest
from ebbtide.infra.request.options import OPTIONS, Option

_KNOWN = {"framework": known_frameworks, "platform": known_platforms}
_SWITCHES = ("detach", "plan", "json", "help")


@dataclass(slots=True)
class RunArguments:
    """What was typed after ``ebb run``."""

    argv: tuple[str, ...] = ()
    """The program and its arguments."""
    options: dict[str, Any] = field(default_factory=dict)
    switches: set[str] = field(default_factory=set)
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

    @property
    def help(self) -> bool:
        """Whether only to show the help."""
        return "help" in self.switches


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
        elif argument.startswith("-") and len(argument) > 1:
            _take_option(argument, queue, found)
        else:
            argv.append(argument)
    found.argv = (*argv, *program)
    return found


def _take_option(argument: str, queue: list[str], found: RunArguments) -> None:
    name, equals, value = argument.lstrip("-").partition("=")
    name = name.replace("_", "-")
    if name in _SWITCHES and not equals:
        found.switches.add(name)
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
        problem = Problem(Reason.OPTION_INVALID, f"--{name} needs a value", _help_of(OPTIONS[name]))
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
    known = [*OPTIONS, *_SWITCHES]
    hint = did_you_mean(
        name, known, prefix="--", otherwise="the program's own arguments go after --"
    )
    return Problem(Reason.OPTION_INVALID, f"there is no option {argument}", hint)


def _help_of(option: Option) -> str:
    """Return the help of an option with the values it accepts, where known, and its default."""
    known = _KNOWN[option.name]() if option.name in _KNOWN else ()
    default = f"default {option.default}" if option.default else ""
    more = "; ".join(part for part in (", ".join(known), default) if part)
    return f"{option.help} ({more})" if more else option.help


def usage() -> str:
    """Return the help of ``ebb run``."""
    lines = [
        "usage: ebb run [options] PROGRAM [-- ARGUMENTS]      ebb run [options] -- COMMAND",
        "       ebb run hello",
        "",
        "Runs a program on a cluster of its own, and releases the cluster when the program ends.",
        "The program runs in place, in --workdir (default: the current folder). Every option can",
        "also be set by a variable EBB_<NAME>, or by a key under run: in ebb.yaml.",
        "",
    ]
    for option in OPTIONS.values():
        value = f"[={option.metavar}]" if option.switch else f" {option.metavar}"
        lines.append(f"  {f'--{option.name}{value}':<32} {_help_of(option)}")
    lines += [
        f"  {'--detach':<32} return at once; the run goes on in the background",
        f"  {'--plan':<32} show what would be made, and make nothing",
        f"  {'--json':<32} one event per line on stdout: at, run, cluster, kind, step, reason,",
        f"  {'':<32} message, data; the program's output as kind output, data.stream",
        "",
        "Exit code: the program's own; 64 misconfiguration, 69 no capacity in time,",
        "70 infrastructure, 75 temporary failure, 124 time limit or idle, 130 stopped,",
        "141 the reader of its output has gone.",
    ]
    return "\n".join(lines)
