"""Packages of code inside a pod: taken from the store, and verified."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import urllib.error
import urllib.request
from http import HTTPStatus
from pathlib import Path
from typing import IO

from ebbtide.infra.frameworks.direct import DIRECT
from ebbtide.infra.frameworks.door import basic, read_secret
from ebbtide.infra.platforms.kubernetes.inside.storage.fetching import fetch_archive
from ebbtide.infra.platforms.kubernetes.inside.storage.unpacking import PackageError, unpack
from ebbtide.infra.platforms.kubernetes.inside.told import CodeSettings
from ebbtide.infra.waiting import wait_until

PATH = "/package/"
"""Before the digest, in the store's URLs."""
_ANSWER_S = 10.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5
_CHUNK_BYTES = 2**20


def fetch(code: CodeSettings) -> None:
    """Wait until the store has the package, verify it, and unpack it; or fetch an archive.

    Raises:
        PackageError: it did not come in time, or it is not what was sent.
    """
    if code.url and (found := fetch_archive(code.url, code.folder, code.wait_s)):
        raise PackageError(found.why, later=found.later)
    if not code.digest:
        return
    url = f"{code.store}{PATH}{code.digest}"
    why = "nobody answers"

    def got() -> bool:
        nonlocal why
        request = urllib.request.Request(url)
        try:
            request.add_header("Authorization", basic(read_secret(Path(code.secrets))))
            with DIRECT.open(request, timeout=_ANSWER_S) as answer:
                unpack_verified(answer, code.digest, Path(code.folder))
        except urllib.error.HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise PackageError(f"the package store answered {error.code}") from error
            why = "it has not been sent"
            return False
        except OSError as error:  # not there yet, or its name is not known yet
            why = str(error)
            return False
        return True

    timeout_s = code.wait_s
    if not wait_until(got, timeout_s=timeout_s, first_s=_FIRST_PAUSE_S, longest_s=_LONGEST_PAUSE_S):
        raise PackageError(f"the code did not come within {timeout_s:.0f} s: {why}")


def unpack_verified(source: IO[bytes], digest: str, folder: Path) -> None:
    """Unpack a package after its digest was found right.

    Args:
        source: the package.
        digest: SHA-256 in hex.
        folder: where to; what is there of an earlier time is replaced.

    Raises:
        PackageError: it is another package, or an unsafe one.
        OSError: it could not be read to its end, or written.
    """
    with tempfile.TemporaryFile() as whole:
        found = hashlib.sha256()
        while piece := source.read(_CHUNK_BYTES):
            found.update(piece)
            whole.write(piece)
        if found.hexdigest() != digest:
            raise PackageError(f"the package is not the one that was sent: {found.hexdigest()}")
        whole.seek(0)
        unpack(whole, folder)


def copy(source: IO[bytes], target: IO[bytes]) -> None:
    """Copy all of a file, in large pieces."""
    shutil.copyfileobj(source, target, _CHUNK_BYTES)
