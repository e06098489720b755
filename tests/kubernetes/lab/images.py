"""Images of the lab, made by buildah from what Debian has: no registry is asked for anything."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.kubernetes.lab import namespace
from tests.kubernetes.lab.place import Lab, cache

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


def import_into(lab: Lab, archives: Iterable[Path]) -> None:
    """Make images known to the lab's containerd."""
    for archive in archives:
        words = ["ctr", "--namespace", "k8s.io", "images", "import", str(archive)]
        namespace.run_inside(lab, words, timeout_s=_TIMEOUT_S)


def remove_from(lab: Lab, image: str) -> None:
    """Let the lab's containerd forget an image."""
    words = ["ctr", "--namespace", "k8s.io", "images", "rm", "--sync", image]
    namespace.run_inside(lab, words, timeout_s=_TIMEOUT_S)


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
