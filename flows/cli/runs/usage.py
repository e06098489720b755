"""The help of ``ebb run``: its options in groups, each with its variable."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator

from ebbtide.flows.cli.arguments import PLACE, help_of
from ebbtide.infra.request.options import OPTIONS

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
"""Names of all options, by the title that they stand below."""
_SWITCHES = (
    (
        "--detach",
        "return at once; the run goes on in the background, on Kubernetes without this machine",
    ),
    (
        "--plan [-o yaml]",
        "show what would be made, and make nothing; -o yaml: every object (Kubernetes), for"
        " kubectl apply -f",
    ),
    (
        "--json",
        "one event per line on stdout: at, run, cluster, kind, step, reason, message, data; the"
        " program's output as kind output, data.stream",
    ),
    (
        "--wait-for-record",
        "return when the run's record in Prefect is finished too, as with --json; else that is done"
        " in the background, within seconds (Kubernetes: before) [EBB_WAIT_FOR_RECORD]",
    ),
)
_HEAD = """\
usage: ebb run [options] PROGRAM [-- ARGUMENTS]      ebb run [options] -- COMMAND
       ebb run [options] NOTEBOOK.ipynb [-p NAME=VALUE ...]      ebb run hello

Runs a program on a cluster of its own, and releases the cluster when the program ends.
The program runs in place, in --workdir (default: the current folder). Every option can
also be set by the variable in brackets, or by a key under run: in ebb.yaml."""
_FOOT = """\
Exit code: the program's own; 64 misconfiguration, 69 no capacity in time,
70 infrastructure, 75 temporary failure, 124 time limit or idle, 130 stopped,
141 the reader of its output has gone."""
_COLUMN = 27
"""Where the words about an option begin."""
_NARROWEST, _WIDEST = 60, 110


def usage() -> str:
    """Return the help of ``ebb run``, as wide as the terminal."""
    width = min(max(shutil.get_terminal_size().columns, _NARROWEST), _WIDEST)
    parts = [_HEAD]
    for title, names in GROUPS.items():
        lines = [line for name in names for line in _of_option(name, width)]
        if title == "Place":
            lines += [line for name in PLACE for line in _of_place(name, width)]
        parts.append("\n".join((f"{title}:", *lines)))
    shown = [line for flag, told in _SWITCHES for line in _entry(flag, told, width)]
    parts.append("\n".join(("What ebb does and prints:", *shown)))
    return "\n\n".join((*parts, _FOOT))


def _of_option(name: str, width: int) -> Iterator[str]:
    option = OPTIONS[name]
    value = f"[={option.metavar}]" if option.switch else f" {option.metavar}"
    return _entry(f"{option.flag}{value}", f"{help_of(option)} [{option.variable}]", width)


def _of_place(name: str, width: int) -> Iterator[str]:
    variable, told = PLACE[name]
    return _entry(f"--{name} NAME", f"{told} [{variable}]", width)


def _entry(flag: str, told: str, width: int) -> Iterator[str]:
    """One option: its flag, and beside it, or below where that is long, what it is."""
    first, *rest = textwrap.wrap(told, width - _COLUMN, break_on_hyphens=False)
    beside = len(flag) + 4 <= _COLUMN
    yield f"  {flag:<{_COLUMN - 2}}{first}" if beside else f"  {flag}"
    for line in rest if beside else (first, *rest):
        yield f"{'':<{_COLUMN}}{line}"
