"""A database that Prefect's migrations have run on once, to be copied.

The 116 migrations cost more than everything else in a server's first start (measured: 8 s of 12).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from ebbtide.infra.errors import EbbError
from ebbtide.infra.files.private import UMASK, locked, private_home

_NAMES = ("prefect-*",)
"""What may lie in our cache: it becomes a server's database, so it must be ours."""


def template_path(environ: Mapping[str, str]) -> Path:
    """Return where the template for the installed Prefect is kept."""
    cache = Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "ebb" / f"prefect-{version('prefect')}.sqlite"


def ensure_template(environ: Mapping[str, str]) -> Path:
    """Return the template, made when it is not there. Several processes may call at once.

    Raises:
        RuntimeError: Prefect's migrations failed; with what it printed.
    """
    path = template_path(environ)
    try:
        private_home(path.parent, setting="XDG_CACHE_HOME", names=_NAMES)
    except EbbError as error:
        raise RuntimeError(f"{error.summary}; {error.hint}") from error
    with locked(path.with_suffix(".lock")):
        if not path.exists():
            _migrate(path, environ)
    return path


def _migrate(path: Path, environ: Mapping[str, str]) -> None:
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    settings = {
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{draft}",
        "PREFECT_HOME": str(path.parent / "prefect-home"),
        "DO_NOT_TRACK": "1",
    }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prefect", "server", "database", "upgrade", "-y"],
        env={**environ, **settings},
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        umask=UMASK,
    )
    if done.returncode != 0:
        raise RuntimeError(f"Prefect's migrations failed: {(done.stderr or done.stdout)[-500:]}")
    os.replace(draft, path)
