"""Images of the lab, made by buildah from what Debian has: no registry is asked for anything."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.kubernetes.lab import namespace
from tests.kubernetes.lab.place import FIRST, Lab, Machine, cache

PAUSE, BUSYBOX = "docker.io/ebb-lab/pause:1", "docker.io/ebb-lab/busybox:1"
_TIMEOUT_S = 300
_SCRATCH = "FROM scratch\n"
_FILES = {
    PAUSE: ("/usr/bin/catatonit", 'COPY catatonit /\nENTRYPOINT ["/catatonit", "-P"]\n'),
    BUSYBOX: ("/bin/busybox", 'COPY busybox /bin/\nRUN ["/bin/busybox", "--install", "/bin"]\n'),
}


def build_for_tests() -> list[Path]:
    """Archives of the sandbox's image and of one with a shell; built once."""
    return [_build(image) for image in _FILES]


def import_into(lab: Lab, archives: Iterable[Path], machine: Machine = FIRST) -> None:
    """Make images known to a node's containerd."""
    for archive in archives:
        words = [*_ctr(machine), "images", "import", str(archive)]
        namespace.run_inside(lab, words, timeout_s=_TIMEOUT_S)


def copy(lab: Lab, image: str, machine: Machine) -> None:
    """Let another node have an image of the first."""
    if image in namespace.run_inside(lab, [*_ctr(machine), "images", "ls", "-q"]).split():
        return
    export = shlex.join([*_ctr(FIRST), "images", "export", "-", image])
    import_ = shlex.join([*_ctr(machine), "images", "import", "-"])
    words = ["sh", "-c", f"{export} | {import_}"]
    namespace.run_inside(lab, words, timeout_s=_TIMEOUT_S)


def remove_from(lab: Lab, image: str) -> None:
    """Let the lab's containerd forget an image."""
    words = [*_ctr(FIRST), "images", "rm", "--sync", image]
    namespace.run_inside(lab, words, timeout_s=_TIMEOUT_S)


def _ctr(machine: Machine) -> list[str]:
    return ["ctr", "--address", machine.socket, "--namespace", "k8s.io"]


def _build(image: str) -> Path:
    program, lines = _FILES[image]
    archive = cache() / "images" / f"{Path(program).name}.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    recipe = archive.with_suffix(".Containerfile")
    recipe.write_text(_SCRATCH + lines)
    store = ["--root", str(cache() / "buildah"), "--storage-driver", "vfs"]
    build = ["bud", "--isolation", "chroot", "--tag", image, "--file", str(recipe)]
    _run(["buildah", *store, *build, str(Path(program).parent)])
    draft = archive.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    _run(["buildah", *store, "push", image, f"docker-archive:{draft}:{image}"])
    draft.rename(archive)
    return archive


def _run(words: list[str]) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(words[:3])} failed: {done.stderr[-800:].strip()}")
