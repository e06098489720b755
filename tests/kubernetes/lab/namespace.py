"""The namespaces a lab lives in: network, mounts, processes, names between processes.

The first process of the PID namespace carries all of it. When that process ends, the kernel ends
every other one of the lab and takes the mounts, the network, its bridge and its iptables rules with
it, whatever became of the program that brought the lab up. Only cgroups and files stay.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.helpers import wait_until
from tests.kubernetes.lab.place import Lab, cache, every

_MARK = "EBB_LAB"
_TIMEOUT_S = 30
_LINK_TRIES, _EXISTS = 20, "File exists"
_LINKS = Path("/sys/class/net")
_CGROUPS = Path("/sys/fs/cgroup")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

_PREPARE = """
set -e
mount -t tmpfs -o mode=755 ebb-lab /run
mount -t tmpfs -o mode=755 ebb-lab /var/log
mkdir -p /run/lock
ip link set lo up
sysctl -qw net.ipv4.ip_forward=1
sysctl -qw net.ipv4.conf.all.route_localnet=1
"""
"""Containerd and the kubelet keep sockets and links there, and must not meet the machine's."""


def create(lab: Lab) -> None:
    """Begin the lab's namespaces and link its network to this machine's.

    Raises:
        RuntimeError: when the kernel refuses, with what it said.
    """
    lab.number = _free_number()
    flags = ["--net", "--mount", "--pid", "--ipc", "--uts", "--fork", "--mount-proc"]
    with (lab.folder / "init.log").open("ab") as log:
        outer = subprocess.Popen(
            ["unshare", *flags, "catatonit", "-P"],
            env=environment(lab, "init"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    wait_until(lambda: _child_of(outer.pid), _TIMEOUT_S, "the first process of the lab")
    lab.init_pid = _child_of(outer.pid)
    lab.init_started_ticks = started_ticks(lab.init_pid)
    lab.save()
    _add_link(lab)
    lab.save()
    _run(["ip", "address", "add", f"{lab.outer_address}/30", "dev", lab.link])
    _run(["ip", "link", "set", lab.link, "up"])
    run_inside(lab, ["sh", "-c", _PREPARE])
    run_inside(lab, ["ip", "address", "add", f"{lab.address}/30", "dev", "lab0"])
    run_inside(lab, ["ip", "link", "set", "lab0", "up"])
    run_inside(lab, ["ip", "route", "add", "default", "via", lab.outer_address])


def alive(lab: Lab) -> bool:
    """Whether the lab's first process lives."""
    return lab.init_pid > 0 and started_ticks(lab.init_pid) == lab.init_started_ticks


def destroy(lab: Lab) -> None:
    """End the first process, and wait until the kernel has taken everything else away."""
    was_alive = alive(lab)
    # Those of ours that wait outside for one inside too: a stopped one would never bury its child.
    for pid in ([lab.init_pid] if was_alive else []) + list(processes(lab)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not processes(lab), _TIMEOUT_S, "the lab's processes ended")
    if was_alive:  # else its number, and the link of that number, may be another lab's by now
        # Connections to pods that have gone keep the network namespace for minutes, and its link.
        subprocess.run(["ip", "link", "delete", lab.link], capture_output=True, check=False)
        wait_until(lambda: not _link_exists(lab), _TIMEOUT_S, "the lab's link is gone")
    for cgroup in sorted(cgroups(lab), key=lambda path: -len(path.parts)):
        with contextlib.suppress(FileNotFoundError):
            cgroup.rmdir()


def enter(lab: Lab, words: Sequence[str]) -> list[str]:
    """The command line that runs ``words`` inside."""
    into = ["nsenter", "--target", str(lab.init_pid)]
    return [*into, "--net", "--mount", "--pid", "--ipc", "--uts", "--", *words]


def run_inside(lab: Lab, words: Sequence[str], timeout_s: float = _TIMEOUT_S) -> str:
    """Run a command inside and give what it printed.

    Raises:
        RuntimeError: when it fails, with what it said.
    """
    return _run(enter(lab, words), timeout_s, environment(lab, "visitor"))


def environment(lab: Lab, part: str) -> dict[str, str]:
    """What a part of the lab gets: its mark, and nothing of who started it."""
    home = {"PATH": _PATH, "HOME": str(lab.folder), "EBB_LAB_CACHE": str(cache())}
    return {**home, _MARK: lab.name, f"{_MARK}_PART": part}


def processes(lab: Lab) -> dict[int, str]:
    """Living processes of this lab and the part each belongs to: by mark, or by PID namespace."""
    mark = f"{_MARK}={lab.name}".encode()
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            variables = (folder / "environ").read_bytes().split(b"\0")
            if mark in variables and not _is_zombie(folder):
                part = next((v for v in variables if v.startswith(b"EBB_LAB_PART=")), b"=")
                found[int(folder.name)] = part.partition(b"=")[2].decode()
    return found


def cgroups(lab: Lab) -> list[Path]:
    """Its cgroups, in every hierarchy: the kubelet makes them.

    Those of another lab may go while they are looked through, which ``os.walk`` passes over.
    """
    found = [Path(where) for where, _, _ in os.walk(_CGROUPS)]
    return [path for path in found if f"ebb-lab-{lab.name}" in path.parts]


def leftovers(lab: Lab) -> list[str]:
    """What there is of it on this machine besides its files: nothing when it is down."""
    found = [f"process {pid} ({part})" for pid, part in processes(lab).items()]
    found += [f"link {lab.link}"] if lab.init_pid and _link_is_ours(lab) else []
    found += [f"cgroup {path}" for path in cgroups(lab)]
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [f"mount {line.split()[1]}" for line in mounts if str(lab.folder) in line]
    return found


def started_ticks(pid: int) -> int:
    """When a process started, in clock ticks since boot; 0 when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])


def _add_link(lab: Lab) -> None:
    """Another lab that begins at the same moment may have taken the number: then the next one."""
    peer = ["type", "veth", "peer", "name", "lab0", "netns", str(lab.init_pid)]
    for _ in range(_LINK_TRIES):
        try:
            _run(["ip", "link", "add", lab.link, *peer])
            return
        except RuntimeError as error:
            if _EXISTS not in str(error):
                raise
            lab.number = _free_number()
    raise RuntimeError(f"no link is free after {_LINK_TRIES} tries")


def _free_number() -> int:
    taken = {lab.number for lab in every() if alive(lab)}
    return next(
        number
        for number in range(250)
        if number not in taken and not (_LINKS / f"ebblab{number}").exists()
    )


def _link_is_ours(lab: Lab) -> bool:
    others = {other.number for other in every() if other.name != lab.name and alive(other)}
    return _link_exists(lab) and lab.number not in others


def _link_exists(lab: Lab) -> bool:
    return (_LINKS / lab.link).exists()


def _is_zombie(folder: Path) -> bool:
    return (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"


def _child_of(pid: int) -> int:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        name = Path(f"/proc/{children[0]}/comm").read_text().strip() if children else ""
    except OSError:
        return 0
    return int(children[0]) if name == "catatonit" else 0


def _run(
    words: Sequence[str], timeout_s: float = _TIMEOUT_S, variables: dict[str, str] | None = None
) -> str:
    done = subprocess.run(
        words, env=variables, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words)} failed: {(done.stderr or done.stdout).strip()}")
    return done.stdout
