"""Where head, workers and driver of a local cluster find things and listen: on this machine.

All of them are processes of one user with one interpreter, one folder and loopback addresses.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.private import write_private
from ebbtide.infra.frameworks.interpreters import package_folder
from ebbtide.infra.frameworks.plan import MemberAddress, MemberPaths, SecretFile
from ebbtide.infra.platforms.base import LOOPBACK_PAGE_HOSTS

_LOOPBACK = "127.0.0.1"
_HOSTS_PER_BLOCK = 250

HEAD = MemberAddress(bind=_LOOPBACK, host=_LOOPBACK, page_hosts=LOOPBACK_PAGE_HOSTS)
"""On any port that is free: other clusters are on the same address."""
DRIVER = MemberAddress(bind=_LOOPBACK, host=_LOOPBACK)


def worker_address(number: int, *, distinct: bool) -> MemberAddress:
    """Where a worker listens.

    Args:
        number: of the worker, from 0; never used twice in a cluster.
        distinct: whether it must be another address than that of every other worker, see
            ``Framework.distinct_hosts``. The one with number 0 then has 127.1.0.1.

    Returns:
        An address of loopback, which has 16 million.
    """
    if not distinct:
        return MemberAddress(bind=_LOOPBACK, host=_LOOPBACK)
    rest, low = divmod(number, _HOSTS_PER_BLOCK)
    high, middle = divmod(rest, _HOSTS_PER_BLOCK)
    host = f"127.{1 + high}.{middle}.{1 + low}"
    return MemberAddress(bind=host, host=host)


@dataclass(frozen=True, slots=True)
class Layout:
    """What is where in a cluster's own folder: private to this user, and gone after release."""

    folder: Path

    @property
    def secrets(self) -> Path:
        """The cluster's keys and configuration, for members to read."""
        return self.folder / "secrets"

    @property
    def scratch(self) -> Path:
        """Where members write."""
        return self.folder / "scratch"

    @property
    def head_file(self) -> Path:
        """Where the head writes where it answers."""
        return self.folder / "head.json"

    def member_paths(self, package: str, artifacts: Path) -> MemberPaths:
        """For members of a framework whose package (name for ``import``) this interpreter has.

        ``artifacts`` is in the run's folder, which outlives the cluster's.
        """
        self.scratch.mkdir(mode=0o700, exist_ok=True)
        return MemberPaths(
            python=sys.executable,
            framework=package_folder(package),
            secrets=self.secrets,
            scratch=self.scratch,
            short_scratch=_by_descriptor(self.scratch),
            artifacts=artifacts,
            head_file=self.head_file,
        )

    def put_secrets(self, files: Iterable[SecretFile]) -> None:
        """Write them for this user only, all or none; those of an earlier call stay as they are."""
        if self.secrets.exists():
            return
        draft = self.secrets.with_name(f"{self.secrets.name}.draft")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        for file in files:
            write_private(draft / file.name, file.content)
        draft.rename(self.secrets)


def _by_descriptor(folder: Path) -> Path:
    """A short path of a folder, for unix sockets: through a descriptor of ours, while we live.

    A link in a folder that all users share could be foreseen, put there by somebody else, cleaned
    away below a long run, or left behind by a kill -9. This one is seen by this user only.
    """
    number = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    return Path(f"/proc/{os.getpid()}/fd/{number}")
