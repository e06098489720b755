"""The code of a Git revision, in a folder here: by the git of this machine and its credentials.

Pods need neither: what is there is packed and sent as a folder of this machine is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.room import FULL, disk_full
from ebbtide.infra.models.job import CodeSource
from ebbtide.infra.models.phases import Reason

_TIMEOUT_S = 600.0
_SAID = 400


def clone(source: CodeSource, into: Path) -> tuple[Path, str]:
    """Fetch one revision, without its history.

    Args:
        source: of a repository.
        into: an empty folder.

    Returns:
        The folder in it that is the code, and the commit.

    Raises:
        ConfigurationError: PROGRAM_INVALID, git did not give it, with git's words; or it has no
            such subdirectory.
        ProvisioningError: DISK_FULL, git had no room for it.
    """
    revision = source.revision or "HEAD"
    into.mkdir(exist_ok=True)
    _git(source, into, "init", "--quiet")
    _git(source, into, "fetch", "--quiet", "--depth=1", "--", source.url, revision)
    _git(source, into, "checkout", "--quiet", "FETCH_HEAD")
    commit = _git(source, into, "rev-parse", "HEAD").decode().strip()
    folder = into / source.subdirectory
    if not folder.is_dir():
        raise _error(source, f"there is no folder {source.subdirectory} in it")
    return folder, commit


def _git(source: CodeSource, into: Path, *arguments: str) -> bytes:
    environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(into), *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except FileNotFoundError as error:
        raise _error(source, "git is not installed here") from error
    except subprocess.TimeoutExpired as error:
        raise _error(source, f"it did not come within {_TIMEOUT_S:.0f} s") from error
    if done.returncode:
        full = next((code for code in FULL if os.strerror(code).encode() in done.stderr), None)
        if full is not None:
            raise disk_full(OSError(full, os.strerror(full)), into, setting="TMPDIR")
        raise _error(source, _last_line(done.stderr))
    return done.stdout


def _last_line(said: bytes) -> str:
    lines: Sequence[str] = said.decode(errors="replace").strip().splitlines()
    return lines[-1][:_SAID] if lines else "git says nothing"


def _error(source: CodeSource, why: str) -> ConfigurationError:
    revision = f" at {source.revision}" if source.revision else ""
    summary = f"the code of {source.url}{revision} cannot be fetched: {why}"
    hint = "git fetch it in a shell: a branch, a tag, or all digits of a commit"
    return ConfigurationError([Problem(Reason.PROGRAM_INVALID, summary, hint)])
