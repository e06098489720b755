"""The code of one run: packed once, when it is declared, and found again by whoever goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ebbtide.infra.files.private import private_folder
from ebbtide.infra.models.job import JobSpec, RunSpec
from ebbtide.infra.platforms.kubernetes.shipping.package import Package, pack
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.settings import Settings

_FOLDER = "package"
"""In the run's folder; hidden from what the run leaves."""
_OURS = "ebbtide."


def packed(settings: Settings, spec: RunSpec) -> Package | None:
    """Pack the folder that a run's program is in, once for each run.

    Args:
        settings: of this installation.
        spec: of the run.

    Returns:
        The package; None for a program that an image has.

    Raises:
        ConfigurationError: PROGRAM_INVALID, there is more in it than may be sent.
    """
    found = package_of(settings.run_folder(spec.name))
    if found is not None or spec.job is None or is_in_image(spec.job):
        return found
    root = Path(spec.job.workdir)
    script = translate(spec.job, root).script
    into = private_folder(settings.home, "runs", spec.name, _FOLDER)
    return pack(root, into, never=(settings.home,), needed=_named(script))


def package_of(folder: Path) -> Package | None:
    """Return the package that was made for a run; None when none was.

    ``folder`` is the run's.
    """
    for path in (folder / _FOLDER).glob("[0-9a-f]" * 64):
        size = path.stat().st_size
        return Package(path=path, digest=path.name, bytes_=size, files=0, content_bytes=size)
    return None


def is_in_image(job: JobSpec) -> bool:
    """Whether a program is one of ours, such as the built-in job, so that nothing is sent."""
    rest = iter(job.argv)
    return any(part == "-m" and next(rest, "").startswith(_OURS) for part in rest)


def _named(script: str) -> Iterable[str]:
    return (script,) if script else ()
