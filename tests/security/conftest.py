"""A second Unix user of this machine, for tests of what such a one can see and do."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.browser import pytest_runtest_makereport  # noqa: F401 (a hook, for pytest)

_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class OtherUser:
    """Somebody else who may log in here: no privilege, no group in common."""

    name: str
    uid: int
    gid: int
    home: Path
    _started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def run(
        self, *argv: str, env: Mapping[str, str] = {}, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as that user and wait for it (``run("sh", "-c", "…")`` for a line)."""
        options = self._options(env)
        return subprocess.run(
            argv, capture_output=True, text=True, timeout=_TIMEOUT_S, check=check, **options
        )

    def start(self, *argv: str, env: Mapping[str, str] = {}) -> subprocess.Popen[bytes]:
        """Start a command as that user; it is ended with the test session at the latest."""
        process = subprocess.Popen(argv, **self._options(env))
        self._started.append(process)
        return process

    def python(self) -> str:
        """A Python which that user may run; ours may lie in a home that is closed to others."""
        for found in ("/usr/bin/python3", shutil.which("python3") or ""):
            if found and self.run(found, "-c", "").returncode == 0:
                return found
        pytest.skip("no Python that a second user may run: apt-get install python3")

    def end(self) -> None:
        """End what was started and is left of it."""
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
        for pid in (int(entry) for entry in os.listdir("/proc") if entry.isdigit()):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}").st_uid == self.uid:
                    os.kill(pid, signal.SIGKILL)

    def _options(self, env: Mapping[str, str]) -> dict[str, Any]:
        known = {"HOME": str(self.home), "USER": self.name, "PATH": "/usr/bin:/bin"}
        return {
            "user": self.uid,
            "group": self.gid,
            "extra_groups": [],
            "cwd": "/",
            "stdin": subprocess.DEVNULL,
            "env": {**known, **env},
        }


@pytest.fixture(scope="session")
def other_user() -> Iterator[OtherUser]:
    """A user made for this session and removed after it; only root can."""
    if os.geteuid() != 0 or shutil.which("useradd") is None:
        pytest.skip("a second Unix user can only be made by root, with useradd")
    name = f"ebbt{os.getpid()}"
    subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", name], check=True)
    try:
        entry = pwd.getpwnam(name)
        user = OtherUser(name, entry.pw_uid, entry.pw_gid, Path(entry.pw_dir))
        yield user
        user.end()
    finally:
        subprocess.run(["userdel", "--remove", name], capture_output=True, check=True)
