"""Bring a lab up, repair one that was interrupted, take it down, tell how it is."""

from __future__ import annotations

import fcntl
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.kubernetes.lab import (
    binaries,
    control_plane,
    debian,
    keys,
    namespace,
    node,
    parts,
    simulated,
)
from tests.kubernetes.lab.binaries import Say
from tests.kubernetes.lab.place import Lab, cache, find

LEVELS = ("simulated", "node")


def up(name: str, levels: tuple[str, ...], say: Say) -> Lab:
    """Bring a lab up. What runs already is kept, what has ended is started again.

    Raises:
        RuntimeError: in a sentence, with what was tried and what was said.
    """
    obstacle = debian.obstacle()
    if obstacle:
        raise RuntimeError(obstacle)
    debian.install(say)
    binaries.build(_programs(levels), say)
    with _alone(name):
        lab = find(name)
        if not namespace.alive(lab):
            lab = _begin(lab)
        say("control plane (10 s)")
        control_plane.start(lab)
        if "simulated" in levels:
            say("simulated nodes (10 s)")
            simulated.start(lab)
        if "node" in levels:
            say("real node (20 s)")
            node.start(lab)
        lab.save()
    return lab


def down(name: str) -> list[str]:
    """Take a lab down and give what is left of it, which should be nothing."""
    with _alone(name):
        lab = find(name)
        namespace.destroy(lab)
        left = namespace.leftovers(lab)
        shutil.rmtree(lab.folder, ignore_errors=True)
    return left


def status(lab: Lab) -> list[str]:
    """One line a part, and the whole in front."""
    if not namespace.alive(lab):
        return [f"lab {lab.name}: down"]
    running = sorted(set(namespace.processes(lab).values()) - {"init", "visitor"})
    lines = [f"lab {lab.name}: {lab.server}   KUBECONFIG={lab.kubeconfig}"]
    lines += [f"  {part:24} pid {parts.pid_of(lab, part)}" for part in running]
    lines += [f"  {part} answered after {seconds:.1f} s" for part, seconds in lab.times_s.items()]
    return lines


def _begin(lab: Lab) -> Lab:
    """Namespaces and keys; what an earlier lab of this name left goes first."""
    namespace.destroy(lab)
    shutil.rmtree(lab.folder, ignore_errors=True)
    fresh = Lab(lab.name)
    fresh.folder.mkdir(parents=True)
    started_s = time.monotonic()
    namespace.create(fresh)
    keys.write(fresh)
    fresh.times_s["namespaces and keys"] = time.monotonic() - started_s
    fresh.save()
    return fresh


def _programs(levels: tuple[str, ...]) -> list[binaries.Program]:
    wanted = list(binaries.CONTROL_PLANE)
    wanted += binaries.SIMULATED if "simulated" in levels else ()
    wanted += binaries.NODE if "node" in levels else ()
    return [*wanted, *binaries.METRICS]


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One at a time for a lab of one name."""
    (cache() / "labs").mkdir(parents=True, exist_ok=True)
    with (cache() / "labs" / f"{name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield
