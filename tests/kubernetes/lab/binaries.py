"""The Go programs of the lab: built once from ordinary modules, kept by version and sums.

Belongs here: which there are, how they are built, and where they are found afterwards.
Versions and sums are those of ``modules/*/go.mod`` and ``go.sum``.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kubernetes.lab.place import cache

_MODULES = Path(__file__).parent / "modules"
_VERSION = "k8s.io/component-base/version"
_KUBERNETES = f"-X {_VERSION}.gitVersion=v1.34.4 -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=34"
_BUILD_TIMEOUT_S = 3000
_TELL_EVERY_S = 15.0
_IF_STALE = "{{if .Stale}}{{.ImportPath}}{{end}}"
"""Packages that are still to be compiled."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """One Go program."""

    name: str
    module: str
    """Folder under ``modules/``."""
    package: str
    usual_s: int
    """Its first build on two slow cores, in seconds; later ones take what the link takes."""
    flags: str = ""


def _of_kubernetes(name: str, usual_s: int) -> Program:
    return Program(name, "kubernetes", f"k8s.io/kubernetes/cmd/{name}", usual_s, _KUBERNETES)


CONTROL_PLANE = (
    Program("etcd", "etcd", "go.etcd.io/etcd/server/v3", 60),
    _of_kubernetes("kube-apiserver", 240),
    _of_kubernetes("kube-controller-manager", 90),
    _of_kubernetes("kube-scheduler", 15),
)
SIMULATED = (
    Program("kwok", "kwok", "sigs.k8s.io/kwok/cmd/kwok", 180),
    Program("karpenter", "karpenter", "sigs.k8s.io/karpenter/kwok", 150),
)
NODE = (
    _of_kubernetes("kubelet", 60),
    _of_kubernetes("kube-proxy", 20),
    Program("coredns", "coredns", "github.com/coredns/coredns", 150),
)
METRICS = (
    Program(
        "metrics-server", "metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server", 90
    ),
)
NETWORK_POLICIES = (
    Program(
        "kube-router",
        "kube-router",
        "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
        240,
    ),
)
"""No lab needs it to come up: it is built when a test asks for it."""


KUBECTL = Program("kubectl", "kubectl", "k8s.io/kubernetes/cmd/kubectl", 30, _KUBERNETES)
"""No part of a lab: built when the benchmark of start-up asks for it. A module of its own, as what
a lab needs is known by the sums of its modules."""


def path_of(program: Program) -> Path:
    """Where its binary is, or will be."""
    folder = _MODULES / program.module
    sums = hashlib.sha256(program.flags.encode())
    for name in ("go.mod", "go.sum"):
        sums.update((folder / name).read_bytes())
    return cache() / "bin" / f"{program.name}-{sums.hexdigest()[:12]}"


def find(name: str) -> Path:
    """A program's binary by its name."""
    every = (*CONTROL_PLANE, *SIMULATED, *NODE, *METRICS, *NETWORK_POLICIES)
    return next(path_of(program) for program in every if program.name == name)


def build(programs: Iterable[Program], say: Say) -> None:
    """Build what is missing, one after another: each uses all cores.

    An interrupted build goes on where it was, because Go keeps what it has compiled. Two labs that
    want the same wait for each other.

    Raises:
        RuntimeError: when a build fails, with the last lines that Go said.
    """
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "building").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        missing = [program for program in programs if not path_of(program).exists()]
        for count, program in enumerate(missing, 1):
            say(f"build {count} of {len(missing)}: {program.name} (at first {program.usual_s} s)")
            began = time.monotonic()
            _build(program, say)
            say(f"build {count} of {len(missing)}: {program.name} {time.monotonic() - began:.0f} s")


def _build(program: Program, say: Say) -> None:
    target = path_of(program)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".draft")
    flags = ["-trimpath", "-ldflags", f"-s -w {program.flags}"]
    where = _MODULES / program.module
    total = len(_go(["list", "-deps", "-f", _IF_STALE, *flags, program.package], where).split())
    words = ["go", "build", "-v", *flags, "-o", str(draft), program.package]
    code, said = follow(words, where, lambda done: say(_progress(program, done, total)))
    if code != 0:
        raise RuntimeError(f"{program.name} could not be built: {said[-2000:].strip()}")
    draft.rename(target)


def behind(words: Sequence[str]) -> list[str]:
    """A command line for something long that gives way to the tests beside it.

    Linux shares processors between sessions first (autogroups), so niceness alone, which counts
    within a session, does nothing against the sessions of clusters: see sched(7).
    """
    give_way = 'echo 19 >/proc/self/autogroup 2>/dev/null; exec nice -n 19 "$@"'
    return ["setsid", "sh", "-c", give_way, "sh", *words]


def follow(
    words: list[str], where: Path, tell: Callable[[int], None], every_s: float = _TELL_EVERY_S
) -> tuple[int, str]:
    """Run a build and tell every so often how many lines it has written to its stderr.

    Returns:
        its exit code and these lines.
    """
    lines: list[str] = []
    with subprocess.Popen(
        behind(words), cwd=where, env=_environment(), stderr=subprocess.PIPE, text=True
    ) as build:
        reader = threading.Thread(target=lambda: lines.extend(build.stderr or ()))
        reader.start()
        deadline = time.monotonic() + _BUILD_TIMEOUT_S
        while True:
            try:
                code = build.wait(every_s)
                break
            except subprocess.TimeoutExpired:
                tell(len(lines))
            except BaseException:  # it has a session of its own: Ctrl-C does not reach it
                build.kill()
                raise
            if time.monotonic() > deadline:
                build.kill()
        reader.join()
    return code, "".join(lines)


def _progress(program: Program, done: int, total: int) -> str:
    """``go`` says one line for each package that it begins to compile, and none while it links."""
    return f"  {program.name}: {min(done, total)} of {total} packages"


def _go(words: list[str], where: Path) -> str:
    """What a go command prints; empty when it fails, for the build then says why."""
    done = subprocess.run(
        ["go", *words],
        cwd=where,
        env=_environment(),
        capture_output=True,
        text=True,
        timeout=_BUILD_TIMEOUT_S,
        check=False,
    )
    return done.stdout if done.returncode == 0 else ""


def _environment() -> dict[str, str]:
    return {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly -buildvcs=false"}
