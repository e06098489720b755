"""``ebb completion``: what a shell runs once, to complete commands, options and names."""

from __future__ import annotations

from typing import Any

import click

from ebbtide.flows.cli.parsing.command import argument, command
from ebbtide.flows.cli.parsing.shells import SHELLS, script
from ebbtide.flows.cli.preparing import Preparation
from ebbtide.infra.models.phases import ExitCode

_TOLD = """Prints what a shell runs to complete commands, options, and names of runs, tiers, pools,
frameworks and platforms.

\b
~/.bashrc                   eval "$(ebb completion bash)"
~/.zshrc, behind compinit   eval "$(ebb completion zsh)"
~/.config/fish/config.fish  ebb completion fish | source"""


@command("completion", _TOLD, Preparation(place=False, ledger=False), json="")
@argument("shell", type=click.Choice(SHELLS))
def main(options: Any) -> int:
    """Print the script of a shell."""
    ebb = click.get_current_context().find_root().command
    print(script(options.shell, ebb), end="")
    return ExitCode.OK
