"""buildah with a store of its own in the lab's cache; layers are kept from one build to the next.

Belongs here: how it is called. Does not belong here: what is built.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.kubernetes.lab.binaries import behind
from tests.kubernetes.lab.place import cache

_TIMEOUT_S = 1800

# Mounts end with the program that made them, however it ends; so must the counts that buildah
# keeps of them.
_ALONE = 'mount -t tmpfs ebb-lab "$0" && exec "$@"'


def home() -> Path:
    """The store, scratch space and locks."""
    return cache() / "product-images"


def words(verb: str, *more: str) -> list[str]:
    """A command line of buildah."""
    store = ["--root", str(home() / "store"), "--runroot", str(_state())]
    return ["buildah", *store, "--storage-driver", "overlay", verb, *more]


def run(words: Sequence[str]) -> str:
    """Run a program that builds; give what it printed.

    Raises:
        RuntimeError: when it fails, with the last lines that it said.
    """
    for folder in (_state(), _temporary()):
        folder.mkdir(parents=True, exist_ok=True)
    alone = ["unshare", "--mount", "--kill-child", "--fork", "sh", "-c", _ALONE, str(_state())]
    done = subprocess.run(
        behind([*alone, *words]),
        env={**os.environ, "TMPDIR": str(_temporary())},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        said = (done.stdout + done.stderr)[-1500:].strip()
        raise RuntimeError(f"{' '.join(words[:1])} failed: {said}")
    return done.stdout


def has(image: str) -> bool:
    """Whether the store has this image."""
    listed = run(words("images", "--all", "--format", "{{.Name}}:{{.Tag}}")).split()
    return image in listed


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on the cache's disk that goes again."""
    _temporary().mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=_temporary()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _state() -> Path:
    return home() / "run"


def _temporary() -> Path:
    return home() / "tmp"
