"""What a command is declared by: its options and arguments, its help, what it needs before.

A command's module has one function below these decorators, ``main``; it takes the values of all
options as one object, and returns the exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import click

from ebbtide.flows.cli.parsing.mistakes import collected, mistakes_of, note
from ebbtide.flows.cli.place import PLACE
from ebbtide.flows.cli.preparing import Preparation, prepare
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean

_WIDEST = 112
"""Columns of a help on a wide terminal; click leaves two of them free."""
_FLAGS_WIDEST = 30
_OPTIONS = "Options"
_JSON = "one JSON document on stdout"
_HYPHEN, _UNBROKEN = "-", "\N{NON-BREAKING HYPHEN}"
SETTINGS: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": _WIDEST,
    "token_normalize_func": lambda name: name.replace("_", "-"),
}
"""Of each context of ours: ``_`` in an option is as good as ``-``."""


class _HelpFormatter(click.HelpFormatter):
    """Writes help in which no option is broken at one of its hyphens."""

    def write(self, string: str) -> None:
        """Write text, with the hyphens that it had."""
        super().write(string.replace(_UNBROKEN, _HYPHEN))

    def write_text(self, text: str) -> None:
        """Write paragraphs."""
        super().write_text(text.replace(_HYPHEN, _UNBROKEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = _FLAGS_WIDEST, col_spacing: int = 2
    ) -> None:
        """Write a list of terms, and what each is."""
        unbroken = [(term, told.replace(_HYPHEN, _UNBROKEN)) for term, told in rows]
        super().write_dl(unbroken, col_max, col_spacing)


class _Context(click.Context):
    """A context whose help is written by our formatter."""

    formatter_class = _HelpFormatter


class _Noted(click.Parameter):
    """A parameter that is missing or wrong is noted beside the other mistakes of the line."""

    def handle_parse_result(
        self, ctx: click.Context, opts: Mapping[str, Any], args: list[str]
    ) -> tuple[Any, list[str]]:
        """Judge the value.

        Args:
            ctx: of the command.
            opts: what was typed, by the names of parameters.
            args: words that no argument has taken yet.

        Returns:
            The value, None where it is wrong; and ``args``.
        """
        try:
            return super().handle_parse_result(ctx, opts, args)
        except click.UsageError as error:
            note(ctx, self, opts.get(self.name or ""), error)
            return None, args


class Option(_Noted, click.Option):
    """An option, below a title of the help."""

    def __init__(self, *args: Any, section: str = _OPTIONS, **attrs: Any):
        super().__init__(*args, **attrs)
        self.section = section
        """The title that it stands below in the help."""


class Argument(_Noted, click.Argument):
    """An argument."""


class Command(click.Command):
    """A command: every mistake of its line is told, before anything else happens."""

    context_class = _Context
    allow_extra_args = True  # they are noted, instead of click's own complaint
    otherwise = ""
    """The hint for an unknown option when no option is near; empty: its help."""

    def __init__(
        self,
        name: str | None,
        *,
        preparation: Preparation,
        place: str = "",
        json: str = _JSON,
        params: list[click.Parameter] | None = None,
        **attrs: Any,
    ):
        shown = [Option(["--json"], is_flag=True, help=json)] if json else []
        params = [*(params or ()), *shown, *(place_flags(place) if place else ())]
        super().__init__(name, params=params, context_settings=SETTINGS, **attrs)
        self.preparation = preparation

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return ``--help``."""
        return _worded(super().get_help_option(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what was typed; mistakes are noted."""
        rest = collected(ctx, args, super().parse_args, self.otherwise)
        for word in () if ctx.resilient_parsing else rest:
            see = f"see {ctx.command_path} --help"
            mistakes_of(ctx).add(f"{word!r} is one word too many", see)
        return rest

    def invoke(self, ctx: click.Context) -> int:
        """Do what was asked for; ConfigurationError: with all that is wrong with the line."""
        mistakes_of(ctx).check()
        prepare(self.preparation, ctx.params)
        assert self.callback is not None
        return int(self.callback(SimpleNamespace(**ctx.params)))

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options below the titles of their sections, all in the same columns."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None and isinstance(param, click.Option):
                section = getattr(param, "section", _OPTIONS)
                sections.setdefault(section, []).append(record)
        flags = [flag for records in sections.values() for flag, _ in records]
        width = min(max(map(len, flags)), _FLAGS_WIDEST)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl([(flag.ljust(width), told) for flag, told in records])


class Group(click.Group):
    """A command that has commands; without one it shows its help."""

    context_class = _Context

    def __init__(self, name: str, **attrs: Any):
        metavar = "COMMAND [OPTIONS]"
        attrs = {"context_settings": SETTINGS, "subcommand_metavar": metavar, **attrs}
        super().__init__(name, options_metavar="", **attrs)

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Return ``--help``."""
        return _worded(super().get_help_option(ctx))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse what stands before the command."""
        rest = collected(ctx, args or ["--help"], super().parse_args)
        mistakes_of(ctx).check()
        return rest

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of its commands, in the order of its help."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command; ConfigurationError: there is none of this name, but perhaps a near one.

        While a line is being completed, an unknown command is one that takes nothing.
        """
        name = args[0]
        found = self.get_command(ctx, name)
        if found is not None:
            return name, found, args[1:]
        if ctx.resilient_parsing:
            return name, click.Command(name, add_help_option=False), []
        path = ctx.command_path
        near = did_you_mean(
            name, self.list_commands(ctx), prefix=f"{path} ", otherwise=f"see {path} --help"
        )
        whole = " ".join([*path.split()[1:], name])
        problem = Problem(Reason.OPTION_INVALID, f"there is no command {whole!r}", near)
        raise ConfigurationError([problem])


def _worded(shown: click.Option | None) -> click.Option | None:
    if shown is not None:
        shown.help = "print this"
    return shown


def place_flags(section: str) -> list[Option]:
    """Options that say which Kubernetes is meant; ``prepare`` heeds them."""
    return [
        Option([f"--{name}"], metavar="NAME", help=f"{told} [{variable}]", section=section)
        for name, (variable, told) in PLACE.items()
    ]


option = partial(click.option, cls=Option)
"""Decorator: an option of a command, as click's."""
argument = partial(click.argument, cls=Argument)
"""Decorator: an argument of a command, as click's."""


def command(
    name: str, told: str, preparation: Preparation | None = None, **attrs: Any
) -> Callable[[Callable[[Any], int]], Command]:
    """Make a command of a function (a decorator, above those of its options).

    Args:
        name: as it is typed.
        told: what its help says.
        preparation: what it needs before it does its work; None: what a command that looks needs.
        attrs: of the class ``Command``. ``place`` is the section of its help that ``--context`` and
            ``--namespace`` stand in, ``json`` what its help says of ``--json``; empty: it takes
            them not.

    Returns:
        The decorator. Its function takes an object with the value of every option.
    """
    preparation = preparation or Preparation()
    return click.command(name, cls=Command, help=told, preparation=preparation, **attrs)
