"""What shells complete: click's scripts and answers, with words cut as each shell does it."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    get_completion_class,
    shell_complete,
)

ASKED = "_EBB_COMPLETE"
"""The variable by which the script of a shell asks what may follow."""
SHELLS = ("bash", "zsh", "fish")


@add_completion_class
class Bash(BashComplete):
    """bash, which takes ``--tier=huge`` for three words."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the whole words behind ``ebb``, and what there is of the last."""
        args, begun = super().get_completion_args()
        *whole, last = rejoined([*args, begun])
        return whole, last

    def source(self) -> str:
        """Return the script; whoever completes has a bash that can, and need not be asked."""
        return ShellComplete.source(self)


class _WholeWords(ShellComplete):
    """A shell that replaces the whole word ``--tier=h``: click tells only what is behind ``=``."""

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what may stand in the place of the last word."""
        flag, equals, _ = incomplete.partition("=")
        found = super().get_completions(args, incomplete)
        if equals and flag.startswith("--"):
            for item in found:
                item.value = f"{flag}={item.value}"
        return found


@add_completion_class
class Zsh(_WholeWords, ZshComplete):
    """zsh."""


@add_completion_class
class Fish(_WholeWords, FishComplete):
    """fish."""


def rejoined(cut: Iterable[str]) -> list[str]:
    """Return the words that were typed, from what bash has cut at each equals sign."""
    found: list[str] = []
    joins = False
    for word in cut:
        if found and (word == "=" or joins):
            found[-1] += word
        else:
            found.append(word)
        joins = word == "="
    return found


def script(shell: str, ebb: click.Command) -> str:
    """Return what a shell of ``SHELLS`` has to run once."""
    known = get_completion_class(shell)
    assert known is not None, shell
    return known(ebb, {}, "ebb", ASKED).source()


def answer(asked: str, ebb: click.Command) -> int:
    """Print what may follow in the line that a shell has in variables; the exit code."""
    return shell_complete(ebb, {}, "ebb", ASKED, asked)
