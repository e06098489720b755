"""``ebb logs``: what a run's program, head or workers printed; also after release."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from pathlib import Path

from ebbtide.flows.cli.output import Parser, known_run, print_json
from ebbtide.flows.cli.streams import ByteWriter
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.lifecycle.reaper import is_lost
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.platforms.local.tails import Tail
from ebbtide.infra.records.salvage import LastKnown
from ebbtide.infra.request.hints import did_you_mean
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
    store = LastKnown(settings.home)
    known_run(store, options.run)
    files = _files(settings.run_folder(options.run), options.source)
    if options.json:
        texts = {name: _whole(path).decode(errors="replace") for name, path in files.items()}
        print_json({"run": options.run, "source": options.source, **texts})
        return ExitCode.OK
    tails = {name: Tail(path) for name, path in files.items()}
    _print(tails, options.tail)
    while options.follow:
        run = store.run(options.run)
        ended = run is None or run.over or is_lost(store, run)
        _print(tails, None)
        if ended:
            break
        pause(_LOOK_EVERY_S)
    return ExitCode.OK


def _files(folder: Path, source: str) -> dict[str, Path]:
    program = folder / "programs" / source
    if source == "job" or ("/" not in source and program.is_dir()):
        where = folder if source == "job" else program
        pair = {name: where / f"{name}.log" for name in ("stdout", "stderr")}
        return {name: path for name, path in pair.items() if path.exists()}
    path = folder / f"{source}.log"
    if "/" not in source and path.exists():
        return {"text": path}
    logs = (*folder.glob("*.log"), *folder.glob("programs/*"))
    known = ["job", *sorted(log.stem for log in logs)]
    hint = did_you_mean(source, known, otherwise=f"there are {', '.join(known)}")
    raise ConfigurationError([Problem(Reason.OPTION_INVALID, f"there is no log {source!r}", hint)])


def _print(tails: dict[str, Tail], last_lines: int | None) -> None:
    for name, tail in tails.items():
        writer = ByteWriter("stderr" if name == "stderr" else "stdout")
        pieces = tail.pieces() if last_lines is None else _last(tail.pieces(), last_lines)
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


def _whole(path: Path) -> bytes:
    return b"".join(Tail(path).pieces())
