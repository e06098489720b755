"""What is wrong with a command line: all of it at once, as problems, with the nearest word.

click stops at the first mistake. Here a word that it refuses becomes a problem and is left out, and
the rest is parsed again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean, nearest

_KEY = "ebbtide.mistakes"


@dataclass(slots=True)
class Mistakes:
    """What is wrong with the line that a context is about."""

    problems: list[Problem] = field(default_factory=list)
    meant: set[str] = field(default_factory=set)
    """Options that were misspelt: they are not missing as well."""

    def add(self, summary: str, hint: str) -> None:
        """Note one more."""
        self.problems.append(Problem(Reason.OPTION_INVALID, summary, hint))

    def check(self) -> None:
        """Raise ConfigurationError where something is wrong."""
        if self.problems:
            raise ConfigurationError(self.problems)


def mistakes_of(ctx: click.Context) -> Mistakes:
    """Return what is wrong with the line of this context, to look at or to add to."""
    found: Mistakes = ctx.meta.setdefault(_KEY, Mistakes())
    return found


def collected(
    ctx: click.Context,
    typed: list[str],
    parse: Callable[[click.Context, list[str]], list[str]],
    otherwise: str = "",
) -> list[str]:
    """Parse what was typed, and note every one that click refuses.

    Args:
        ctx: of the command.
        typed: what was typed behind its name.
        parse: click's ``parse_args``, which takes words off its list as it goes.
        otherwise: the hint for an unknown option when no option is near; empty: its help.

    Returns:
        What ``parse`` returns: words that no argument has taken.
    """
    while True:
        rest = list(typed)
        try:
            return parse(ctx, rest)
        except click.UsageError as error:
            if len(rest) == len(typed):
                raise  # it has taken no word that could be left out
            at = len(typed) - len(rest) - 1
            taken = _refused(ctx, typed, at, error, otherwise or _see_help(ctx))
            typed = [*typed[:at], *typed[at + taken :]]


def note(ctx: click.Context, param: click.Parameter, value: Any, error: click.UsageError) -> None:
    """Note that a parameter is missing, or that its value is wrong.

    Args:
        ctx: of the command.
        param: the parameter.
        value: what was typed for it.
        error: raised by click.
    """
    mistakes = mistakes_of(ctx)
    name = param.human_readable_name if isinstance(param, click.Argument) else param.opts[0]
    if isinstance(error, click.MissingParameter):
        if param.name not in mistakes.meant:
            mistakes.add(f"{name} is missing", param.help or _see_help(ctx))
        return
    text = error.message.rstrip(".")
    choices = list(param.type.choices) if isinstance(param.type, click.Choice) else []
    near = did_you_mean(str(value), choices)
    mistakes.add(f"{name}: {text}", near or param.help or _see_help(ctx))


def _refused(
    ctx: click.Context, typed: list[str], at: int, error: click.UsageError, otherwise: str
) -> int:
    """Note a word that was refused; how many words to leave out: one, or its value too."""
    mistakes = mistakes_of(ctx)
    flag, equals, _ = typed[at].partition("=")
    if isinstance(error, click.BadOptionUsage):
        known = _option(ctx, error.option_name)
        if known is not None and known.is_flag:
            mistakes.add(f"{error.option_name} takes no value", f"write {error.option_name} alone")
        else:
            told = known.help if known is not None else None
            mistakes.add(f"{error.option_name} needs a value", told or otherwise)
        return 1
    name = flag.lstrip("-").replace("_", "-")
    near = nearest(name, _long_names(ctx))
    hint = did_you_mean(name, _long_names(ctx), prefix="--", otherwise=otherwise)
    mistakes.add(f"there is no option {flag}", hint)
    meant = _option(ctx, f"--{near}") if near else None
    if meant is None:
        return 1
    mistakes.meant.add(meant.name or "")
    follows = typed[at + 1 : at + 2]
    its_value = follows and not follows[0].startswith("-") and not meant.is_flag and not equals
    return 2 if its_value else 1


def _options(ctx: click.Context) -> list[click.Option]:
    return [each for each in ctx.command.get_params(ctx) if isinstance(each, click.Option)]


def _option(ctx: click.Context, flag: str) -> click.Option | None:
    return next((each for each in _options(ctx) if flag in each.opts), None)


def _long_names(ctx: click.Context) -> list[str]:
    """The names of its options, without their dashes."""
    flags = [flag for each in _options(ctx) for flag in each.opts]
    return [flag.removeprefix("--") for flag in flags if flag.startswith("--")]


def _see_help(ctx: click.Context) -> str:
    return f"see {ctx.command_path} --help"
