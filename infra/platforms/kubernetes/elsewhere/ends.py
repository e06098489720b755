"""The ends of a run's logs beside its records, for machines on which it was not begun.

One more ConfigMap of each run: which files there are, on which machine and in which folder, and
the last of what was printed. All of it is only where the run was begun.
"""

from __future__ import annotations

import base64
import gzip
import json
import socket
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.files.kept import KeptFile, KeptKind
from ebbtide.infra.files.tails import last_bytes
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, Object
from ebbtide.infra.platforms.kubernetes.naming import RUN
from ebbtide.infra.platforms.kubernetes.records.encoding import KEPT, record_name

FORMAT = 1
PROGRAM_BYTES, LOG_BYTES = 64 * 2**10, 8 * 2**10
"""Of each stream of the program, and of each log of a member."""
TOTAL_BYTES = 320 * 2**10
"""Of all together, before they are made smaller: a ConfigMap takes 1 MiB, base64 counts."""
FILES = 500
"""So many files are named at most."""
_STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Ends:
    """What the records know of what a run has left."""

    host: str
    """The machine that has all of it."""
    folder: str
    """There."""
    files: tuple[KeptFile, ...]
    texts: Mapping[str, bytes]
    """The end of each log that is held, by the name of the file."""

    @property
    def where(self) -> str:
        """Where all of it is, in words."""
        if Path(self.folder).is_relative_to(layout.RUN_FOLDER):
            return f"in pod {self.host}, for an hour from the end of the run"
        return f"on {self.host}, in {self.folder}"


def ends_name(run: RunName) -> str:
    """Of the ConfigMap; no run's name has a dot."""
    return f"ebb-run-{run}.ends"


def ends_of(folder: Path, files: Iterable[KeptFile], host: str = "") -> Ends:
    """Read the ends of what a run has left on this machine.

    Args:
        folder: of the run.
        files: that are in it.
        host: the name of this machine; empty: as it calls itself.

    Returns:
        Them, bounded.
    """
    named, texts, left = tuple(files)[:FILES], dict[str, bytes](), TOTAL_BYTES
    for file in named:
        limit = _bytes_of(file)
        if limit and limit <= left and (text := _last_lines(file, limit)):
            texts[file.name] = text
            left -= len(text)
    return Ends(host or socket.gethostname(), str(folder), named, texts)


def write_ends(api: Api, run: RunName, ends: Ends) -> bool:
    """Write them beside the records of a run, in place of those of an earlier attempt.

    Args:
        api: of the namespace.
        run: whose they are.
        ends: what is written.

    Returns:
        False when the namespace has no records of the run.

    Raises:
        ApiError: they could not be written.
    """
    owner = api.get(CONFIG_MAP, record_name(run))
    if owner is None:
        return False
    api.apply(_encoded(run, ends, owner["metadata"]["uid"]))
    return True


def read_ends(api: Api, run: RunName) -> Ends | None:
    """Return what the records know; None when they know nothing, or nothing that we can read.

    Args:
        api: of the namespace.
        run: whose they are.

    Returns:
        The ends, with the files as the machine that has them names them.

    Raises:
        ApiError: the API server refused, or was away for too long.
    """
    thing = api.get(CONFIG_MAP, ends_name(run))
    try:
        return None if thing is None else _decoded(thing)
    except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error):
        return None


def _bytes_of(file: KeptFile) -> int:
    """How much of a file is held at most."""
    if file.name in _STREAMS:
        return PROGRAM_BYTES
    return LOG_BYTES if file.kind in (KeptKind.PROGRAM, KeptKind.LOG) else 0


def _last_lines(file: KeptFile, max_bytes: int) -> bytes:
    text = last_bytes(file.path, max_bytes)
    if len(text) < max_bytes:
        return text
    return text[text.find(b"\n") + 1 :] or text


def _encoded(run: RunName, ends: Ends, uid: str) -> Object:
    record = record_name(run)
    owner = {"apiVersion": CONFIG_MAP.api, "kind": CONFIG_MAP.name, "name": record, "uid": uid}
    labels = {"app.kubernetes.io/part-of": "ebb", RUN: run, KEPT: "ends"}
    rows = [[f.name, f.kind.value, f.bytes_, f.changed, str(f.path)] for f in ends.files]
    numbers = {file.name: str(number) for number, file in enumerate(ends.files)}
    data = {
        "format": str(FORMAT),
        "host": ends.host,
        "folder": ends.folder,
        "files": json.dumps(rows, separators=(",", ":")),
    }
    packed = {
        f"{numbers[name]}.gz": base64.b64encode(gzip.compress(text, mtime=0)).decode()
        for name, text in ends.texts.items()
    }
    return {
        "apiVersion": CONFIG_MAP.api,
        "kind": CONFIG_MAP.name,
        "metadata": {"name": ends_name(run), "labels": labels, "ownerReferences": [owner]},
        "data": data,
        "binaryData": packed,
    }


def _decoded(thing: Object) -> Ends | None:
    data, packed = thing["data"], thing.get("binaryData") or {}
    if int(data["format"]) > FORMAT:
        return None
    files = tuple(
        KeptFile(
            name=name,
            kind=KeptKind(kind),
            bytes_=bytes_,
            changed=changed,
            path=Path(path),
            host=data["host"],
        )
        for name, kind, bytes_, changed, path in json.loads(data["files"])
    )
    texts = {
        file.name: gzip.decompress(base64.b64decode(packed[f"{number}.gz"]))
        for number, file in enumerate(files)
        if f"{number}.gz" in packed
    }
    return Ends(data["host"], data["folder"], files, texts)
