"""``ebb logs``: what a run's program, head or workers printed; also after release."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ebbtide.flows.cli.output import known_run, print_json, print_table, say, show
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, run_argument
from ebbtide.flows.cli.streams import ByteWriter
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.lifecycle.inventory import last_view
from ebbtide.infra.lifecycle.reaper import is_lost
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.base import LogStream, Platform, load_platform
from ebbtide.infra.presentation.kept_text import (
    below,
    kept_data,
    kept_size,
    kept_table,
    stored_line,
)
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.request.hints import did_you_mean
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import pause

_DESCRIPTION = """Prints the program's stdout to stdout and its stderr to stderr, byte for byte; or,
with --from, another log of the run; --list says what there is. JSON: an object with the keys run,
source, and stdout/stderr or text; of --list: run, outputs (where EBB_OUTPUT_DIR went, when
elsewhere), files (a list of name, kind, bytes, changed (Unix
time), path, host, see)."""
_LOOK_EVERY_S = 0.1


@command("logs", _DESCRIPTION, place=KUBERNETES)
@run_argument(
    help="a run (ebb ps -a lists them), or RUN/PROGRAM for one that a flow ran on its cluster"
)
@option("-f", "--follow", is_flag=True, help="follow until the run has ended")
@option("--tail", type=int, metavar="N", help="print only the last N lines")
@option(
    "--from",
    "source",
    metavar="WHAT",
    help="job, head, worker-0, or any other name of --list (default job)",
)
@option(
    "--list",
    is_flag=True,
    help="list all that is kept: logs, artifacts, output; with --from a folder of it",
)
def main(options: Any) -> int:
    """Print a run's logs."""
    options.run, _, program = options.run.partition("/")
    settings = load_settings()
    store = open_to_look(settings)
    run = known_run(store, options.run)
    platform = load_platform(run.spec.platform, settings, store)
    if options.list:
        stored = stored_line(run.spec.outputs, last_view(store, run.name))
        folder = options.source or program
        return _list(run, platform, folder, stored, as_json=options.json)
    options.source = program or options.source or "job"
    logs = platform.logs(run.name, options.source)
    if options.json:
        texts = {
            name: b"".join(log.pieces()).decode(errors="replace") for name, log in logs.items()
        }
        print_json({"run": options.run, "source": options.source, **texts})
        return ExitCode.OK
    _print(logs, options.tail)
    while options.follow:
        now = store.run(options.run)
        ended = now is None or now.over or is_lost(store, now)
        _print(logs, None)
        if ended:
            break
        pause(_LOOK_EVERY_S)
    return ExitCode.OK


def _list(run: Run, platform: Platform, folder: str, stored: str, *, as_json: bool) -> int:
    """Print what a run has kept.

    Args:
        run: which.
        platform: its.
        folder: only what is below it, such as ``worker-0``; empty: all.
        stored: where its output is, when elsewhere; empty: it is among what is kept.
        as_json: whether it is printed as JSON, every file of it.

    Returns:
        The exit code.

    Raises:
        ConfigurationError: OPTION_INVALID, nothing is kept below such a folder.
    """
    everything = platform.kept(run.name)
    files = below(everything, folder)
    if folder and not files:
        known = {file.name.rpartition("/")[0] for file in everything} - {""}
        hint = did_you_mean(folder.rstrip("/"), known, otherwise="leave --from out")
        summary = f"{run.name} has kept nothing below {folder!r}"
        raise ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])
    cluster = run.spec.cluster
    if as_json:
        listed = kept_data(run.name, cluster, files)
        print_json({"run": run.name, "outputs": stored, "files": listed})
        return ExitCode.OK
    table = kept_table(run.name, cluster, everything, folder)
    if stored:
        show(f"Output: {stored}")
    if not table.rows:
        say(table.empty)
        return ExitCode.OK
    print_table(table.headers, table.rows)
    show(f"Kept: {kept_size(files)}")
    return ExitCode.OK


def _print(logs: Mapping[str, LogStream], last_lines: int | None) -> None:
    for name, log in logs.items():
        writer = ByteWriter("stderr" if name == "stderr" else "stdout")
        pieces = log.pieces() if last_lines is None else _last(log.pieces(), last_lines)
        for data in pieces:
            writer.write(data)


def _last(pieces: Iterable[bytes], count: int) -> Iterable[bytes]:
    """The last lines. A piece may end within one."""
    lines: deque[bytes] = deque(maxlen=max(1, count))
    for piece in pieces:
        first, *more = piece.splitlines(keepends=True)
        if lines and not lines[-1].endswith((b"\n", b"\r")):
            lines[-1] += first
        else:
            lines.append(first)
        lines.extend(more)
    return lines if count > 0 else ()
