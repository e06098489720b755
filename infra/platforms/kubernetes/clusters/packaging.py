"""The code of one run: packed once, when it is declared, and found again by whoever goes on."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.files.private import private_folder
from ebbtide.infra.files.room import disk_full
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import JobSpec, RunSpec, code_source
from ebbtide.infra.platforms.kubernetes.shipping.cloning import clone
from ebbtide.infra.platforms.kubernetes.shipping.package import Package, pack, unwritable
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.platforms.run_folder import PROGRAMS
from ebbtide.infra.settings import Settings

FOLDER = "package"
"""In the run's folder; hidden from what the run leaves."""
_OURS = "ebbtide."
_COMMIT, _SHOWN = "commit", 12


def packed(settings: Settings, spec: RunSpec) -> Package | None:
    """Pack the folder that a run's program is in, or a Git revision, once for each run.

    Args:
        settings: of this installation.
        spec: of the run.

    Returns:
        The package; None for a program that an image has, or whose pods fetch an archive.

    Raises:
        ConfigurationError: PROGRAM_INVALID, there is more in it than may be sent, or it cannot be
            fetched.
    """
    return _packed(settings, spec.job, ("runs", spec.name))


def packed_program(settings: Settings, run: RunName, name: str, job: JobSpec) -> Package | None:
    """Pack the folder that one more program on a held cluster is in.

    Args:
        settings: of this installation.
        run: whose cluster it is.
        name: of the program.
        job: the program.

    Returns:
        The package; None for a program that an image has.

    Raises:
        ConfigurationError: PROGRAM_INVALID, there is more in it than may be sent.
    """
    return _packed(settings, job, ("runs", run, PROGRAMS, name))


def _packed(settings: Settings, job: JobSpec | None, folder: tuple[str, ...]) -> Package | None:
    found = package_of(settings.home.joinpath(*folder))
    if found is not None or job is None or not is_sent(job):
        return found
    return pack_job(job, private_folder(settings.home, *folder, FOLDER), settings.home)


def commit_note(settings: Settings, run: RunName) -> str:
    """Say which commit a run's code is, behind another sentence; empty: it is of no repository."""
    try:
        commit = (settings.run_folder(run) / FOLDER / _COMMIT).read_text()
    except OSError:
        return ""
    return f"; its code is commit {commit[:_SHOWN]}"


def is_sent(job: JobSpec) -> bool:
    """Whether a program's code is sent: an image has none, an archive is fetched by the pods."""
    source = code_source(job.code)
    return not is_in_image(job) and (source is None or source.is_git)


def pack_job(job: JobSpec, into: Path, home: Path) -> Package:
    """Pack the folder of a program that is sent, or a Git revision, whose commit is noted there.

    Args:
        job: the program.
        into: where the package is put.
        home: of this installation, which is never in it.

    Returns:
        The package.

    Raises:
        ConfigurationError: PROGRAM_INVALID, there is more in it than may be sent, or it cannot be
            fetched.
        ProvisioningError: DISK_FULL.
    """
    source = code_source(job.code)
    if source is None:
        return _pack(job, Path(job.workdir), into, home)
    with scratch_folder() as scratch:
        root, commit = clone(source, scratch)
        try:
            (into / _COMMIT).write_text(commit)
        except OSError as error:
            raise unwritable(into, error, _setting_of(into, home)) from error
        return _pack(job, root, into, home)


def _pack(job: JobSpec, root: Path, into: Path, home: Path) -> Package:
    script = translate(job, root).script
    needed = (script,) if script else ()
    limit, setting = job.code_limit_bytes, _setting_of(into, home)
    return pack(root, into, limit_bytes=limit, never=(home,), needed=needed, setting=setting)


def _setting_of(into: Path, home: Path) -> str:
    """The variable that names where this folder is."""
    return "EBB_HOME" if into.is_relative_to(home) else "TMPDIR"


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for as long as the block takes, where temporary files are.

    Raises:
        ProvisioningError: DISK_FULL, no file can be made where temporary files are.
    """
    try:
        folder = tempfile.TemporaryDirectory()
    except OSError as error:  # Python tries several folders, and does not say which is full
        where = Path(os.environ.get("TMPDIR", "/tmp"))
        raise disk_full(error, where, setting="TMPDIR") from error
    with folder:
        yield Path(folder.name)


def package_of(folder: Path) -> Package | None:
    """Return the package that was made for a run or one more program; None when none was.

    ``folder`` is its own.
    """
    for path in (folder / FOLDER).glob("[0-9a-f]" * 64):
        size = path.stat().st_size
        return Package(path=path, digest=path.name, bytes_=size, files=0, content_bytes=size)
    return None


def is_in_image(job: JobSpec) -> bool:
    """Whether a program is one of ours, such as the built-in job, so that nothing is sent."""
    rest = iter(job.argv)
    return any(part == "-m" and next(rest, "").startswith(_OURS) for part in rest)
