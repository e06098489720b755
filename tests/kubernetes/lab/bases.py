"""The ground that the product's images stand on in the lab: a small Debian, made of packages.

Belongs here: which packages, and that it is made once. Outside of the lab the same Containerfile
stands on any ordinary base image.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.kubernetes.lab import buildah
from tests.kubernetes.lab.binaries import Say

_PYTHON = ("python3", "python3-venv", "tini")
_JAVA = ("openjdk-17-jre-headless",)
_USUAL_S = {False: 40, True: 70}
_SOURCES = ("sources.list", "sources.list.d/debian.sources")
_UNREAD = ("man", "doc", "locale")

_HOOKS = (
    # Java's packages put links there, and fail without it.
    '--setup-hook=mkdir -p "$1/usr/share/man/man1"',
    # Where this machine gets its packages from is no business of an image.
    '--customize-hook=rm -rf "$1"/etc/apt/sources.list* "$1"/etc/apt/auth.conf.d/*',
)
_RECIPE = "FROM scratch\nADD rootfs.tar /\n"


def key(framework: str) -> str:
    """Names the base by what it is made of."""
    made_of = [_words(framework), _RECIPE]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:12]


def provide(framework: str, say: Say) -> str:
    """The base's image, in buildah's store; made when it is not there."""
    name = f"localhost/ebb-base:{key(framework)}"
    if buildah.has(name):
        return name
    say(f"base of {framework}'s image ({_USUAL_S[framework == 'spark']} s)")
    with buildah.scratch() as folder:
        buildah.run([*_words(framework), _suite(), str(folder / "rootfs.tar"), *_sources()])
        (folder / "Containerfile").write_text(_RECIPE)
        buildah.run(buildah.words("bud", "--isolation", "chroot", "--tag", name, str(folder)))
    return name


def _words(framework: str) -> list[str]:
    packages = _PYTHON + (_JAVA if framework == "spark" else ())
    smaller = [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _UNREAD]
    include = f"--include={','.join(packages)}"
    return ["mmdebstrap", "--mode=root", "--variant=minbase", include, *smaller, *_HOOKS]


def _suite() -> str:
    lines = Path("/etc/os-release").read_text().splitlines()
    return next(line.partition("=")[2] for line in lines if line.startswith("VERSION_CODENAME="))


def _sources() -> list[str]:
    return [str(path) for name in _SOURCES if (path := Path("/etc/apt") / name).exists()]
