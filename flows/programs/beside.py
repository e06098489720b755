"""A program and the files that it reads in one folder, which goes to wherever the program runs.

A pod has what lies in the folder of its program, and nothing else of this machine.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path


def beside(program: Path, files: Mapping[str, Path], folder: Path) -> Path:
    """Put them there; done again, it becomes what it was.

    Args:
        program: the script.
        files: what it reads, by the name that it has in the folder: links to it lie there.
        folder: whose; it is made. The same path each time, so that a retry asks for the same job.

    Returns:
        The script in that folder.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, path in files.items():
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return Path(shutil.copy(program, folder / program.name))
