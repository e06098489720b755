"""Every socket on which processes listen, as the kernel lists them, with whose it is.

Reads ``/proc`` by itself: what the product believes to have opened proves nothing.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.helpers import PROC, marked_processes

_TCP_LISTENING, _UDP_UNCONNECTED = "0A", "07"
_UNIX_ACCEPTS = 0x10000


@dataclass(frozen=True, slots=True, order=True)
class Listener:
    """One socket that takes connections (TCP, unix) or datagrams (UDP)."""

    kind: str
    """``tcp``, ``udp``, ``unix`` (a path) or ``abstract`` (a name that no folder protects)."""
    address: str
    """An IP address, or a path."""
    port: int
    pid: int
    command: str
    """The whole command line of the first process that has it."""

    @property
    def where(self) -> str:
        """For people."""
        return f"{self.address}:{self.port}" if self.kind in ("tcp", "udp") else self.address


def listeners(home: Path) -> list[Listener]:
    """Of everything that carries the mark of this EBB_HOME, and of what that has started."""
    commands = {each.pid: each.command.strip() for each in marked_processes(home)}
    for pid in _descendants(set(commands)):
        commands.setdefault(pid, _command(pid))
    return sorted(_listeners(commands))


def _listeners(commands: dict[int, str]) -> Iterator[Listener]:
    met: set[str] = set()
    for pid, command in sorted(commands.items()):
        inodes = _sockets(pid) - met
        for inode, kind, address, port in _table(pid):
            if inode in inodes:
                met.add(inode)
                yield Listener(kind, address, port, pid, command)


def _descendants(pids: set[int]) -> set[int]:
    parents = {}
    for folder in PROC.iterdir():
        with contextlib.suppress(OSError, ValueError):
            stat = (folder / "stat").read_text()
            parents[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def _command(pid: int) -> str:
    with contextlib.suppress(OSError):
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    return ""


def _sockets(pid: int) -> set[str]:
    found: set[str] = set()
    with contextlib.suppress(OSError):
        for entry in (PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                target = os.readlink(entry)
                if target.startswith("socket:["):
                    found.add(target[len("socket:[") : -1])
    return found


def _table(pid: int) -> Iterator[tuple[str, str, str, int]]:
    """Inode, kind, address and port of all that listens where this process lives."""
    net = PROC / str(pid) / "net"
    states = {"tcp": _TCP_LISTENING, "udp": _UDP_UNCONNECTED}
    for name in ("tcp", "tcp6", "udp", "udp6"):
        kind = name[:3]
        for columns in _lines(net / name):
            if columns[3] == states[kind]:
                address, port = _address(columns[1])
                yield columns[9], kind, address, port
    for columns in _lines(net / "unix"):
        if int(columns[3], 16) & _UNIX_ACCEPTS and len(columns) > 7:
            path = columns[7]
            yield columns[6], "abstract" if path.startswith("@") else "unix", path, 0


def _lines(path: Path) -> Iterable[list[str]]:
    with contextlib.suppress(OSError):
        return [line.split() for line in path.read_text().splitlines()[1:]]
    return []


def _address(words: str) -> tuple[str, int]:
    """``0100007F:1F90`` is ``127.0.0.1`` and 8080: 32-bit words, least significant byte first."""
    raw, _, port = words.partition(":")
    data = b"".join(bytes.fromhex(raw[i : i + 8])[::-1] for i in range(0, len(raw), 8))
    address = ipaddress.ip_address(data)
    return str(getattr(address, "ipv4_mapped", None) or address), int(port, 16)
