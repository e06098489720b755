"""A disk that takes nothing more: the machine's fault, whatever was to be written."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import format_memory

FULL = (errno.ENOSPC, errno.EDQUOT)
"""What the system answers when nothing more can be written."""


def is_full(error: OSError) -> bool:
    """Whether something could not be written because there is no room, or no more of one's own."""
    return error.errno in FULL


def disk_full(error: OSError, folder: Path, *, setting: str = "EBB_HOME") -> ProvisioningError:
    """Tell what a full disk has refused.

    Args:
        error: that it has refused.
        folder: where something was to be written; it need not be there.
        setting: the variable that names another folder.

    Returns:
        INFRA:DISK_FULL, with the folder and what is free there.
    """
    detail = f"{folder}: {error.strerror or error}{_free(folder)}"
    hint = f"free some space there, or set {setting} to a folder on another disk"
    if error.errno == errno.EDQUOT:
        hint = f"free some of your disk quota there, or set {setting} to a folder elsewhere"
    return ProvisioningError(Reason.DISK_FULL, detail=detail, hint=hint)


def _free(folder: Path) -> str:
    """What is free there, in words; empty when that is not known."""
    with contextlib.suppress(OSError):
        disk = os.statvfs(next(filter(Path.exists, _upwards(folder))))
        if disk.f_files and not disk.f_favail:
            return "; no further file can be made there"
        return f"; {format_memory(disk.f_bavail * disk.f_frsize)} are free"
    return ""


def _upwards(folder: Path) -> Iterator[Path]:
    yield from (folder, *folder.absolute().parents)
