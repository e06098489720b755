"""``ebb completion``: what a shell needs to complete commands, options and names.

What can follow is found where it is defined: commands in their table, options in the help of each
command, names of runs in the ledger, names of tiers in the catalog. Nobody but this machine is
asked, so that a key pressed costs no way to a Kubernetes.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ebbtide.flows.cli.commands import COMMANDS, help_of
from ebbtide.flows.cli.output import Parser
from ebbtide.infra.errors import ConfigurationError, EbbError, Problem
from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.base import known_platforms
from ebbtide.infra.records.opening import names_here
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.settings import load_settings

_DESCRIPTION = """Prints what a shell runs to complete commands, options, and names of runs and
tiers. Write into ~/.bashrc: eval "$(ebb completion bash)"; into ~/.zshrc, behind compinit:
eval "$(ebb completion zsh)"; into ~/.config/fish/config.fish: ebb completion fish | source"""
_SCRIPTS = {
    "bash": """_ebb() {
    local IFS=$'\\n'
    COMPREPLY=($(ebb completion --word "$COMP_CWORD" -- "${COMP_WORDS[@]}" 2>/dev/null))
}
complete -o default -F _ebb ebb
""",
    "zsh": """_ebb() {
    local -a found
    found=("${(@f)$(ebb completion --word $((CURRENT - 1)) -- "${(@)words}" 2>/dev/null)}")
    if [[ -n "${found[*]}" ]]; then compadd -- "${found[@]}"; else _files; fi
}
compdef _ebb ebb
""",
    "fish": """function __ebb_complete
    set -l typed (commandline -opc) (commandline -ct)
    ebb completion --word (math (count $typed) - 1) -- $typed 2>/dev/null
end
complete -c ebb -a '(__ebb_complete)'
""",
}
_OF_A_RUN = ("logs", "open", "why", "stop", "cost")
"""Commands whose first argument is the name of a run."""
_OPTION = re.compile(r"^ {2}(?:-\w(?: \w+)?, )?(--[a-z][a-z-]*)(.*)$", re.MULTILINE)
_CHOICES = re.compile(r"^ \{([\w,-]+)\}")
_TIERS = ("--tier", "--head-tier")


def main(args: list[str]) -> int:
    """Print the script of a shell, or what can follow in a line that is being typed."""
    if args[:1] == ["--word"]:
        number, typed = int(args[1]), args[3:]
        print("\n".join(candidates(typed[1:number], "".join(typed[number : number + 1]))))
        return ExitCode.OK
    parser = Parser("completion", _DESCRIPTION)
    parser.add_argument("shell", metavar="SHELL", help=", ".join(_SCRIPTS))
    shell = parser.take(args).shell
    if shell not in _SCRIPTS:
        hint = did_you_mean(shell, _SCRIPTS, otherwise=f"shells: {', '.join(_SCRIPTS)}")
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, f"no shell {shell} here", hint)])
    print(_SCRIPTS[shell], end="")
    return ExitCode.OK


def candidates(before: Sequence[str], begun: str) -> list[str]:
    """Return what the word that is being typed may become; nothing where a file may follow.

    Args:
        before: the words behind ``ebb``, as far as they are typed.
        begun: what there is of the word.

    Returns:
        Words that begin so.
    """
    if begun == "=":  # bash makes a word of it
        begun = ""
    if before and before[-1] == "=":
        before = before[:-1]
    return [word for word in _following(list(before), begun) if word.startswith(begun)]


def _following(before: list[str], begun: str) -> Iterable[str]:
    if not before:
        return COMMANDS
    name, typed = before[0], before[1:]
    if name not in COMMANDS or "--" in typed:
        return ()
    options = _options_of(name)
    last = typed[-1] if typed else ""
    if last in options and not begun.startswith("-"):
        return _values(last, options[last])
    if begun.startswith("-"):
        return options
    if name in _OF_A_RUN and not [word for word in typed if not word.startswith("-")]:
        return _runs()
    first = {"run": ("hello",), "config": ("show", "schema"), "completion": tuple(_SCRIPTS)}
    return () if typed else first.get(name, ())


def _options_of(name: str) -> Mapping[str, str]:
    """The options of a command, with what its help says behind each."""
    return {found[1]: found[2] for found in _OPTION.finditer(help_of(name))}


def _values(option: str, told: str) -> Iterable[str]:
    """What may stand behind an option."""
    named: Mapping[str, Callable[[], Iterable[str]]] = {
        "--framework": known_frameworks,
        "--platform": known_platforms,
        **dict.fromkeys(_TIERS, _tiers),
    }
    if option in named:
        return named[option]()
    choices = _CHOICES.match(told)
    return choices[1].split(",") if choices else ()


def _runs() -> list[str]:
    """The names of runs, the newest first."""
    with contextlib.suppress(EbbError):
        return list(names_here(load_settings()))
    return []


def _tiers() -> list[str]:
    with contextlib.suppress(EbbError):
        return [tier.name for tier in catalog_for(os.environ, Path.cwd())[0].tiers]
    return []
