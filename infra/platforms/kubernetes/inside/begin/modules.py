"""Fetches a package of code for tasks into a folder of its own, once: run in a head or worker.

python -P -m ….inside.begin.modules SETTINGS

Several of it may run at once, as processes of one pod that need the same.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from ebbtide.infra.platforms.kubernetes.inside.packages import fetch
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError
from ebbtide.infra.platforms.kubernetes.inside.told import CodeSettings, code_settings


def bring(code: CodeSettings) -> None:
    """Fetch the package unless it is there; its folder appears when all of it is in it.

    Args:
        code: where the package comes from, and the folder.

    Raises:
        PackageError: it did not come in time, or it is not what was sent.
        OSError: it cannot be written.
    """
    folder = Path(code.folder)
    if folder.exists():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent)
    try:
        fetch(replace(code, folder=draft))
        Path(draft).rename(folder)
    except OSError:
        if not folder.exists():  # else another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


if __name__ == "__main__":
    try:
        bring(code_settings(sys.argv[1]))
    except (PackageError, OSError) as error:
        sys.exit(str(error))
