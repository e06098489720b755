"""The pages of the documentation's site that are made from the code: a hook of mkdocs.

Reference pages are never typed: commands, options, reasons, exit codes and metrics come from the
tables and parsers that ``ebb`` itself uses. Files of the checkout that are documentation where they
lie (CONTRIBUTING, SECURITY, the examples' README) become pages too, with their links put right.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import ebbtide
from ebbtide.flows.cli.commands import COMMANDS, help_of
from ebbtide.infra.models.phases import REASONS, ExitCode, Reason
from ebbtide.infra.policy.explain.diagnosis import fix_for
from ebbtide.infra.policy.explain.known import KNOWN
from ebbtide.infra.presentation.metrics import METRICS
from ebbtide.infra.request.ebb_yaml.keys import TABLES
from ebbtide.infra.request.options import OPTIONS

ROOT = Path(__file__).resolve().parents[1]
_WIDTH = "100"
"""Columns of a command's help."""
_TAKEN_OVER = {
    "contributing.md": "CONTRIBUTING.md",
    "security.md": "SECURITY.md",
    "examples.md": "examples/README.md",
}
"""By page: the file of the checkout that it is."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made (an event of mkdocs).

    Args:
        files: of the site so far.
        config: of the site.

    Returns:
        The same files, and those.
    """
    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    for path, source in _TAKEN_OVER.items():
        files.append(File.generated(config, path, content=taken_over(source)))
    return files


def commands() -> str:
    """Return the page of commands: the help of each, as it is printed."""
    parts = ["# Commands\n", "`ebb COMMAND --help` prints the same.\n"]
    parts += [f"[`ebb {name}`](#ebb-{name}) · {told}  " for name, (_, told) in COMMANDS.items()]
    parts += [f"\n## `ebb {name}`\n\n```text\n{_help_of(name)}\n```" for name in COMMANDS]
    return "\n".join(parts)


def options() -> str:
    """Return the page of the options of ``ebb run``."""
    rows = [
        (
            f"`{option.flag} {option.metavar}`",
            f"`{option.variable}`",
            option.help,
            f"`{option.default}`" if option.default is not None else "",
        )
        for option in OPTIONS.values()
    ]
    return (
        "# Options of a run\n\n"
        "Each is a flag of `ebb run`, a variable, a key of `run:` in `ebb.yaml` (the flag's name"
        " without its dashes) and an argument of Python's `run`, `cluster` and `job` (with"
        " underscores). The flag wins over the variable, that over the file.\n\n"
        + _table(("flag", "variable", "what it does", "default"), rows)
    )


def keys() -> str:
    """Return the page of the keys of ebb.yaml."""
    parts = [
        "# Keys of ebb.yaml\n",
        "What the file is for, with examples: [ebb.yaml](../configuration.md). `ebb init` writes"
        " one, `ebb config show` says where each value comes from, `ebb config schema` prints a"
        " JSON Schema for editors. Below `run:` are the [options of a run](options.md).\n",
    ]
    for where, table in TABLES.items():
        parts.append(f"## {f'`{where}`' if where else 'The file'}\n")
        parts.append(_table(("key", "what it says"), ((f"`{k}`", v) for k, v in table.items())))
    return "\n".join(parts)


def reasons() -> str:
    """Return the page of reason codes, and of sentences of others that ``ebb why`` knows."""
    families: dict[str, list[Reason]] = {}
    for reason in Reason:
        families.setdefault(reason.partition(":")[0], []).append(reason)
    parts = [
        "# Reasons\n",
        "Why a run waits or ended: a code for programs, a sentence for people. `ebb why RUN` adds"
        " the evidence (what was seen, and the line of a log that tells), and often a fix that is"
        " more exact than the one here.\n",
    ]
    for family, members in families.items():
        parts.append(f"## {family}\n")
        parts += [_told(reason) for reason in members]
    sentences = [(f"`{row.pattern.pattern}`", row.means, row.fix) for row in KNOWN]
    parts.append(
        "## Sentences of Dask, Ray, Spark, Java and Python\n\n"
        "What `ebb why` says when one of these is the line that tells.\n\n"
        + _table(("in the log (a regular expression)", "means", "fix"), sentences)
    )
    return "\n".join(parts)


def _told(reason: Reason) -> str:
    info = REASONS[reason]
    again = "no fresh cluster would help"
    if info.retry_delay_s is not None:
        again = f"a fresh cluster may be tried after {info.retry_delay_s:g} s (`--retry`)"
    return (
        f"### `{reason}`\n\n"
        f"Cause: {_cell(info.sentence)}.  \nFix: {_cell(fix_for(reason))}.  \n"
        f"The run is {info.phase}; exit code {info.exit_code}; {again}.\n"
    )


def exit_codes() -> str:
    """Return the page of exit codes."""
    numbers = {name: value for name, value in vars(ExitCode).items() if name.isupper()}
    rows = [
        (
            str(number),
            name.lower().replace("_", " "),
            ", ".join(f"`{reason}`" for reason in Reason if REASONS[reason].exit_code == number),
        )
        for name, number in sorted(numbers.items(), key=lambda pair: pair[1])
    ]
    return (
        "# Exit codes\n\n"
        "`ebb run` exits with the program's own code; when a signal has ended the program, with"
        " 128 and its number. When it is not the program that failed, with one of these (numbers of"
        " `sysexits.h` where there is one):\n\n" + _table(("code", "means", "reasons"), rows)
    )


def metrics() -> str:
    """Return the page of metrics."""
    labels = [", ".join(f"`{label}`" for label in metric.labels) for metric in METRICS]
    rows = [(f"`{m.name}`", where, m.told) for m, where in zip(METRICS, labels, strict=True)]
    return (
        "# Metrics\n\n"
        "`ebb metrics` prints them in the text format of Prometheus, how they are collected is in"
        " [ebb up as a service](../service.md#metrics). All are gauges: they say what is so when"
        " they are asked for. `ebb metrics --json` says the same as JSON.\n\n"
        + _table(("name", "labels", "what it says"), rows)
    )


def python() -> str:
    """Return the page of the Python API; mkdocstrings fills it in."""
    names = [f"::: ebbtide.{name}" for name in sorted(ebbtide.__all__, key=str.casefold)]
    return "# Python\n\n`from ebbtide import …`\n\n" + "\n\n".join(names) + "\n"


def taken_over(source: str) -> str:
    """Return a file of the checkout as a page: its links lead to other pages, where there are."""
    text = (ROOT / source).read_text(encoding="utf-8")
    pages = {str(Path(file)): page for page, file in _TAKEN_OVER.items()}

    def put_right(found: re.Match[str]) -> str:
        path, anchor = found["path"], found["anchor"] or ""
        place = os.path.normpath(Path(source).parent / path)
        target = pages.get(place) or (place.removeprefix("docs/") if "docs/" in place else "")
        return f"[{found['text']}]({target}{anchor})" if target else f"`{found['text']}`"

    return re.sub(r"\[(?P<text>[^\]]+)\]\((?P<path>[^)#:]+)(?P<anchor>#[^)]*)?\)", put_right, text)


PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands,
    "reference/options.md": options,
    "reference/ebb-yaml.md": keys,
    "reference/reasons.md": reasons,
    "reference/exit-codes.md": exit_codes,
    "reference/metrics.md": metrics,
    "reference/python.md": python,
}
"""By path: what makes the page."""


def _help_of(command: str) -> str:
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = _WIDTH
    try:
        return help_of(command).rstrip()
    finally:
        os.environ.pop("COLUMNS") if before is None else os.environ.update(COLUMNS=before)


def _table(headers: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    lines = [list(headers)]
    lines += [["---"] * len(lines[0]), *([_cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    """Text as it may stand in a cell: a bar would end it, and tags would be read as such."""
    code = text.startswith("`")
    shown = text if code else text.replace("<", "&lt;")
    return shown.replace("|", "&#124;" if not code else "\\|").replace("\n", " ")
