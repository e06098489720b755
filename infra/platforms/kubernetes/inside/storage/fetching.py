"""Asks for an archive of code: a process with the user's environment, and its deadline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass

from ebbtide.infra.processes.environment import user_environment

_MODULE = f"{__package__}.archives"


@dataclass(frozen=True, slots=True)
class NotFetched:
    """Why there is no code."""

    why: str
    later: bool
    """Whether it may come at another try."""


def fetch_archive(code: str, folder: str, timeout_s: float) -> NotFetched | None:
    """Fetch an archive and unpack it.

    Args:
        code: as the user wrote it (see ``models.job.code_source``).
        folder: where to.
        timeout_s: it may take so long, in seconds.

    Returns:
        Why that was not done; None: it was.
    """
    argv = [sys.executable, "-P", "-m", _MODULE, code, folder]
    environ = user_environment(os.environ)
    later = True
    try:
        done = subprocess.run(
            argv, env=environ, stdout=subprocess.PIPE, timeout=timeout_s, check=False
        )
        found = json.loads(done.stdout)
        why, later = found["error"], found["later"]
    except subprocess.TimeoutExpired:
        why = f"it did not come within {timeout_s:.0f} s"
    except ValueError:
        why = f"the process that does it ended with {done.returncode}"
    return NotFetched(f"the code of {code} cannot be fetched: {why}", later) if why else None
