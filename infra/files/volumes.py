"""Whether a folder that is open to all is the volume of a pod in which there is nobody but us.

Kubernetes makes every emptyDir open to all. It is safe to keep something there only where no other
user can be: any other volume may be other pods' too, and in a container whose processes may change
their user somebody else can come. Does not belong here: what else makes a folder safe.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

_EMPTY_DIR = "/volumes/kubernetes.io~empty-dir/"
"""In the path that the kubelet gives one on its node's disk; one in memory does not tell."""
_ESCAPES = str.maketrans({char: f"\\{ord(char):03o}" for char in " \t\n\\"})
"""As the kernel writes a path into a table."""


def is_pods_own(folder: Path) -> bool:
    """Whether a folder is an emptyDir of this pod, and no user but us can be in this container.

    Args:
        folder: which may be open to all.

    Returns:
        False where that cannot be known.
    """
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        return False
    with contextlib.suppress(OSError):
        first, mounts = (Path("/proc", each).read_text() for each in ("1/status", "self/mountinfo"))
        return has_one_user(first, os.geteuid()) and is_empty_dir(mounts, folder.resolve())
    return False


def has_one_user(first: str, user: int) -> bool:
    """Whether all processes of a container are this user's, and can only be.

    Args:
        first: ``/proc/1/status``, of the process that all others come from.
        user: a number.

    Returns:
        False for root, who can become anybody, and where a program may change its user.
    """
    facts = dict(line.partition(":")[::2] for line in first.splitlines())
    one = set(facts.get("Uid", "").split()) == {str(user)}
    return one and user != 0 and facts.get("NoNewPrivs", "").strip() == "1"


def is_empty_dir(mounts: str, folder: Path) -> bool:
    """Whether what is mounted at a folder is an emptyDir.

    Args:
        mounts: ``/proc/self/mountinfo``; what was mounted last at one place is what is there.
        folder: without links.

    Returns:
        False for a folder at which nothing is mounted.
    """
    lines = [line.split(" ") for line in mounts.splitlines()]
    place = str(folder).translate(_ESCAPES)
    sources = [line[3] for line in lines if line[4] == place]
    return bool(sources) and _EMPTY_DIR in sources[-1]
