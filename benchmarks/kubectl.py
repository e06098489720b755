"""The manifests of a run brought up with ``kubectl``, as somebody does by hand: what to compare.

A client process for each command, one after the other, as a shell script has them.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.platforms.kubernetes.shipping.package import Package
from tests.kubernetes.lab.binaries import KUBECTL, build, path_of

LAB = "lab"
"""In place of a path: the one of the lab's own version."""


def find(wanted: str) -> Path:
    """Return the program that was named, the machine's own, or that of the lab, built if need be.

    Args:
        wanted: a path, or ``lab``; empty: what is on PATH, else the lab's.

    Returns:
        Its path.
    """
    own = shutil.which(wanted or "kubectl") if wanted != LAB else None
    if own is None and wanted not in ("", LAB):
        raise SystemExit(f"there is no {wanted}")
    if own is None:
        build([KUBECTL], lambda words: print(f"kubectl: {words}", flush=True))
    return Path(own) if own is not None else path_of(KUBECTL)


def version(program: Path) -> str:
    """Return what a kubectl says that it is."""
    words = [str(program), "version", "--client"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return said.partition("\n")[0].removeprefix("Client Version: ")


@dataclass(frozen=True, slots=True)
class Kubectl:
    """One, with where it goes."""

    program: Path
    access: Access
    timeout_s: float

    def apply(self, manifests: Path) -> None:
        """Make all objects of a file."""
        self._run("apply", "--server-side", "--force-conflicts", "--filename", str(manifests))

    def wait(self, pod: str) -> None:
        """Wait until all containers of a pod run."""
        running = "--for=jsonpath={.status.phase}=Running"
        self._run("wait", running, f"--timeout={self.timeout_s:.0f}s", f"pod/{pod}")

    def put(self, pod: str, package: Package, *, unpacked: bool) -> None:
        """Put a package into the store in a pod: whole or not at all, as it serves what is there.

        Args:
            pod: its name.
            package: with the code.
            unpacked: whether the pod reads the code too, as a head does.
        """
        there = f"{layout.PACKAGES}/{package.digest}"
        unpack = f"tar -xzf {there}.new -C {layout.CODE} && " if unpacked else ""
        script = f"cat > {there}.new && {unpack}mv {there}.new {there}"
        with package.path.open("rb") as file:
            words = ("exec", "--stdin", pod, "--container", layout.FILES, "--", "sh", "-c", script)
            self._run(*words, stdin=file.fileno())

    @contextlib.contextmanager
    def lines(self, pod: str, container: str) -> Iterator[Iterable[bytes]]:
        """Follow a container's log. Yields its lines, each when it is there."""
        words = self._words("logs", "--follow", pod, "--container", container)
        with subprocess.Popen(words, stdout=subprocess.PIPE) as following:
            assert following.stdout is not None
            try:
                yield following.stdout
            finally:
                following.kill()

    def _run(
        self, *words: str, stdin: int = subprocess.DEVNULL
    ) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            self._words(*words),
            stdin=stdin,
            capture_output=True,
            timeout=self.timeout_s,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"kubectl {words[0]} failed: {done.stderr.decode().strip()}")
        return done

    def _words(self, *words: str) -> Sequence[str]:
        options = {
            "--kubeconfig": self.access.kubeconfig,
            "--context": self.access.context,
            "--namespace": self.access.namespace,
        }
        given = (part for name, value in options.items() if value for part in (name, value))
        return [str(self.program), *given, *words]
