"""Where a run's logs are on this machine: files of its folder, which stay after release."""

from __future__ import annotations

from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean

JOB = "job"
_STREAMS = ("stdout", "stderr")


def log_files(folder: Path, source: str) -> dict[str, Path]:
    """Find the files of one source, see ``Platform.logs``.

    Args:
        folder: of the run.
        source: ``job``, the name of a program, or of a member or process of ours.

    Returns:
        The files by the name of the stream; those of the job need not exist yet.

    Raises:
        ConfigurationError: OPTION_INVALID, there is no such source; with those there are.
    """
    if source == JOB:
        return {name: folder / f"{name}.log" for name in _STREAMS}
    if "/" not in source:
        program, log = folder / "programs" / source, folder / f"{source}.log"
        if program.is_dir():
            return {name: program / f"{name}.log" for name in _STREAMS}
        if log.exists():
            return {"text": log}
    known = [JOB, *sorted(log.stem for log in (*folder.glob("*.log"), *folder.glob("programs/*")))]
    hint = did_you_mean(source, known, otherwise=f"there are {', '.join(known)}")
    raise ConfigurationError([Problem(Reason.OPTION_INVALID, f"there is no log {source!r}", hint)])
