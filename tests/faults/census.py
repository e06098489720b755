"""Counting what an installation still holds: on the machine first, then in its ledger.

Reads ``/proc`` and the ledger's file by itself, so that a product that overlooks something cannot
make the count overlook it too.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from pathlib import Path

from tests.helpers import PROC, marked_processes

_LISTENING = "0A"
_TABLES = ("net/tcp", "net/tcp6")


@dataclass(frozen=True, slots=True)
class Count:
    """What was there at one moment. Empty is what every test here waits for."""

    processes: tuple[str, ...] = ()
    """All that carry the mark: flow, guard, supervisor, head, workers, program and its children."""
    ports: tuple[str, ...] = ()
    """Listening TCP sockets that any of those has ever had."""
    folders: tuple[str, ...] = ()
    """Of clusters; a run's folder is kept on purpose."""
    temporary: tuple[str, ...] = ()
    shares: tuple[str, ...] = ()
    clusters: tuple[str, ...] = ()
    """Not released in the ledger."""
    runs: tuple[str, ...] = ()
    """Not ended in the ledger."""

    def __bool__(self) -> bool:
        """Whether anything is left."""
        return any(getattr(self, part.name) for part in fields(self))

    def __str__(self) -> str:
        """Only what is left."""
        parts = [f"{part.name}: {', '.join(getattr(self, part.name))}" for part in fields(self)]
        return "; ".join(part for part in parts if not part.endswith(": ")) or "nothing"


@dataclass(slots=True)
class Census:
    """Counts one installation again and again, and remembers the sockets it has met."""

    home: Path
    temporary: Path
    """The ``TMPDIR`` of everything that is started."""
    spare: set[int] = field(default_factory=set)
    """Processes that are not counted, such as a Prefect server the test keeps."""
    _sockets: set[str] = field(default_factory=set)

    def take(self) -> Count:
        """Count now."""
        processes = [each for each in marked_processes(self.home) if each.pid not in self.spare]
        listening = _listening()
        self._sockets |= _sockets_of(each.pid for each in processes) & listening.keys()
        held = sorted(listening[inode] for inode in self._sockets & listening.keys())
        return Count(
            processes=tuple(f"{each.pid} {each.command.strip()[-90:]}" for each in processes),
            ports=tuple(held),
            folders=_entries(self.home / "clusters"),
            temporary=_entries(self.temporary),
            shares=self._query("SELECT cluster || '/' || owner FROM shares"),
            clusters=self._query("SELECT id FROM clusters WHERE released_at IS NULL"),
            runs=self._query("SELECT name FROM runs WHERE ended IS NULL"),
        )

    def on_machine(self) -> Count:
        """Count without the ledger, for when that cannot be written."""
        now = self.take()
        return Count(now.processes, now.ports, now.folders, now.temporary)

    def _query(self, sql: str) -> tuple[str, ...]:
        path = self.home / "ledger.sqlite"
        if not path.exists():
            return ()
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            try:
                return tuple(str(row[0]) for row in connection.execute(sql))
            except sqlite3.Error as error:
                return (f"cannot be read: {error}",)


def listening_addresses(pids: Iterable[int]) -> list[str]:
    """``address:port`` of the TCP sockets on which these processes listen."""
    listening = _listening()
    return sorted(listening[inode] for inode in _sockets_of(pids) & listening.keys())


def _entries(folder: Path) -> tuple[str, ...]:
    with contextlib.suppress(FileNotFoundError):
        return tuple(sorted(str(path) for path in folder.iterdir()))
    return ()


def _sockets_of(pids: Iterable[int]) -> set[str]:
    """Inodes of the sockets they have open."""
    found: set[str] = set()
    for pid in pids:
        with contextlib.suppress(OSError):
            for entry in (PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    target = os.readlink(entry)
                    if target.startswith("socket:["):
                        found.add(target[len("socket:[") : -1])
    return found


def _listening() -> dict[str, str]:
    """Inode to address of every listening TCP socket of this machine."""
    found = {}
    for table in _TABLES:
        with contextlib.suppress(OSError):
            for line in (PROC / table).read_text().splitlines()[1:]:
                columns = line.split()
                if columns[3] == _LISTENING:
                    found[columns[9]] = _address(columns[1])
    return found


def _address(words: str) -> str:
    """``0100007F:1F90`` is ``127.0.0.1:8080``: the kernel writes 32-bit words, least byte first."""
    raw, _, port = words.partition(":")
    data = b"".join(bytes.fromhex(raw[i : i + 8])[::-1] for i in range(0, len(raw), 8))
    address = ipaddress.ip_address(data)
    return f"{getattr(address, 'ipv4_mapped', None) or address}:{int(port, 16)}"
