"""What a run leaves on this machine: files of its folder, which stay after release.

The same wherever its cluster was: what a platform brings back lies where a local run writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.cuts import cut_of
from ebbtide.infra.files.kept import KeptFile, KeptKind
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean

ARTIFACTS = "artifacts"
"""The folder in a run's folder for ``MemberPaths.artifacts``."""
JOB = "job"
OUTPUT = "output"
"""What a program wrote to ``EBB_OUTPUT_DIR``."""
PROGRAMS = "programs"
"""The folder in a run's folder with those of programs on a cluster that is held."""
_STREAMS = ("stdout", "stderr")


def log_files(folder: Path, source: str) -> dict[str, Path]:
    """Find the files of one source, see ``Platform.logs``.

    Args:
        folder: of the run.
        source: ``job``, the name of a program, of a member or process of ours, or of any other file
            that is kept.

    Returns:
        The files by the name of the stream; those of the job need not exist yet.

    Raises:
        ConfigurationError: OPTION_INVALID, there is no such source; with those there are.
    """
    if source == JOB:
        return {name: folder / f"{name}.log" for name in _STREAMS}
    if "/" not in source:
        program, log = folder / PROGRAMS / source, folder / f"{source}.log"
        if program.is_dir():
            return {name: program / f"{name}.log" for name in _STREAMS}
        if log.exists():
            return {"text": log}
    kept = {file.name: file for file in reversed(kept_files(folder))}
    if source in kept:
        return {"text": kept[source].path}
    programs = sorted(path.name for path in folder.glob(f"{PROGRAMS}/*"))
    short = [JOB, *programs, *(file.name for file in kept_files(folder) if "/" not in file.name)]
    hint = did_you_mean(source, [*short, *kept], otherwise=f"there are {', '.join(short)}")
    raise ConfigurationError([Problem(Reason.OPTION_INVALID, f"there is no log {source!r}", hint)])


def kept_files(folder: Path) -> list[KeptFile]:
    """List what a run has left, see ``Platform.kept``. ``folder`` is the run's."""
    found = [*_logs(folder, "", KeptKind.LOG), *_below(folder / OUTPUT, OUTPUT, KeptKind.OUTPUT)]
    for program in sorted(folder.glob(f"{PROGRAMS}/*")):
        found += _logs(program, program.name, KeptKind.PROGRAM)
        found += _below(program / OUTPUT, f"{program.name}/{OUTPUT}", KeptKind.OUTPUT)
    artifacts = _below(folder / ARTIFACTS, "", KeptKind.ARTIFACT)
    return [*found, *(file for file in artifacts if file.bytes_ and file.path.name[0] != ".")]


def _logs(folder: Path, owner: str, kind: KeptKind) -> Iterator[KeptFile]:
    """Yield what was printed; the program's own streams first."""
    logs = {log.stem: log for log in sorted(folder.glob("*.log"))}
    for log in (logs[name] for name in dict.fromkeys((*_STREAMS, *logs)) if name in logs):
        its = KeptKind.PROGRAM if log.stem in _STREAMS else kind
        yield from _file(log, f"{owner}/{log.stem}" if owner else log.stem, its)


def _below(folder: Path, name: str, kind: KeptKind) -> Iterator[KeptFile]:
    """Yield all files of a folder; a link is not followed, and what is no file is left out."""
    for where, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            path = Path(where, file)
            yield from _file(path, str(Path(name, path.relative_to(folder))), kind)


def _file(path: Path, name: str, kind: KeptKind) -> Iterator[KeptFile]:
    """Yield one file; nothing when it has just gone, or is none."""
    try:
        found = path.lstat()
    except OSError:
        return
    if stat.S_ISREG(found.st_mode):
        cut = cut_of(path)
        bytes_ = found.st_size - (cut.end - cut.start if cut else 0)
        yield KeptFile(name=name, kind=kind, bytes_=bytes_, changed=found.st_mtime, path=path)
