"""``ebb logs``: what a run's program, head or workers printed; also after release."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from ebbtide.flows.cli.output import Parser, known_run, print_json
from ebbtide.flows.cli.streams import ByteWriter
from ebbtide.infra.lifecycle.reaper import is_lost
from ebbtide.infra.models.phases import ExitCode
from ebbtide.infra.platforms.base import LogStream, load_platform
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import pause

_DESCRIPTION = """Prints the program's stdout to stdout and its stderr to stderr, byte for byte; or,
with --from, another log of the run. JSON: an object with the keys run, source, and stdout/stderr or
text."""
_LOOK_EVERY_S = 0.1


def main(args: list[str]) -> int:
    """Print a run's logs."""
    parser = Parser("logs", _DESCRIPTION)
    parser.add_argument("run", help="RUN, or RUN/PROGRAM for one that a flow ran on its cluster")
    parser.add_argument(
        "-f", "--follow", action="store_true", help="follow until the run has ended"
    )
    parser.add_argument("--tail", type=int, metavar="N", help="print only the last N lines")
    parser.add_argument("--from", dest="source", default="job", metavar="WHAT",
                        help="job, head, worker-0, supervisor or flow (default job)")  # fmt: skip
    options = parser.take(args)
    options.run, _, program = options.run.partition("/")
    options.source = program or options.source
    settings = load_settings()
    store = open_to_look(settings)
    run = known_run(store, options.run)
    platform = load_platform(run.spec.platform, settings, store)
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
