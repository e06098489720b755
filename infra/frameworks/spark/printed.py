"""What a worker's executors print, so that it is there when the worker has gone.

Each executor has two files in the worker's folder. Where only what a worker itself prints outlives
it, that is what they are given to; elsewhere the same files get a second name.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ebbtide.infra.frameworks.shown import Shown

_FOLDERS = "app-*/*"
"""Below a worker's folder: one for each application, in it one for each executor."""


class Kept:
    """A second name for each file: it is there to its end however executor or worker end.

    Jars and data of users lie beside it, which are nobody's to keep.
    """

    def __init__(self, work: Path, kept: Path):
        """``kept`` is where the same folders are made; on the file system of ``work``."""
        self._work, self._kept = work, kept

    def look(self, *, last: bool = False) -> None:
        """Do so for those that are new."""
        del last
        for log in self._work.glob(f"{_FOLDERS}/std*"):
            place = self._kept / log.relative_to(self._work)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.link(log, place)


def passed_on(work: Path, outputs: tuple[int, int] = (1, 2)) -> Shown:
    """What is new in the files goes to this process's own outputs.

    Args:
        work: the worker's folder.
        outputs: the descriptors for what executors print to stdout and stderr.

    Returns:
        What looks for it.
    """
    stdout, stderr = outputs
    return Shown(work, {f"{_FOLDERS}/stdout*": stdout, f"{_FOLDERS}/stderr*": stderr})
