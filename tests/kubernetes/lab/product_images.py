"""The product's images (``infra/images``) in the lab: built once, known to its containerd.

An image is named by what it is made of, so that whoever asks for it twice waits once, and a change
of code gives it another name but no other layer than its last.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.kubernetes.lab import bases, buildah, namespace
from tests.kubernetes.lab.binaries import Say
from tests.kubernetes.lab.place import Lab

FRAMEWORKS = ("dask", "ray", "spark", "none", "flow", "prefect")
_PREFECT = "prefect"
"""The one with our flows in it, which is a target of its own."""
SOURCE = Path(__file__).parents[3]
"""This checkout."""
_RECIPE = Path("infra/images/Containerfile")
_TIMEOUT_S = 300
_PIP_CACHE, _CA = "/run/pip-cache", "/run/secrets/ca.pem"
_OF_THIS_MACHINE = ("cache-dir", "cert", "find-links")
"""Settings of pip that name its files, which a build does not see."""
_CTR = ("ctr", "--namespace", "k8s.io")


def provide(lab: Lab, framework: str, say: Say, source: Path = SOURCE) -> str:
    """The name of a framework's image in this lab; built and imported when it is not there."""
    with _alone():
        name = build(framework, say, source)
        if name not in namespace.run_inside(lab, [*_CTR, "images", "ls", "-q"]).split():
            began = time.monotonic()
            _import(lab, name)
            say(f"image {name} imported after {time.monotonic() - began:.1f} s")
    return name


def build(framework: str, say: Say, source: Path = SOURCE) -> str:
    """The name of a framework's image in buildah's store; built when it is not there."""
    name = name_of(framework, source)
    if buildah.has(name):
        return name
    began = time.monotonic()
    base = bases.provide(framework, say)
    with buildah.scratch() as folder:
        arguments = [f"--build-arg=BASE={base}", f"--build-arg=FRAMEWORK={framework}"]
        arguments += [f"--target={_PREFECT}"] if framework == _PREFECT else []
        how = ["--layers", "--isolation", "chroot", "--network", "host", *_packages(folder)]
        what = ["--tag", name, "--file", str(source / _RECIPE), str(source)]
        buildah.run(buildah.words("bud", *how, *arguments, *what))
    say(f"image {name} built after {time.monotonic() - began:.1f} s")
    return name


def name_of(framework: str, source: Path = SOURCE) -> str:
    """Its name, by the content of all that goes into it."""
    made_of = hashlib.sha256(bases.key(framework).encode())
    folders = ("infra", "flows", "tasks") if framework == _PREFECT else ("infra",)
    files = (path for folder in folders for path in sorted((source / folder).rglob("*")))
    for path in (source / "src/ebbtide/__init__.py", *files):
        if path.is_file() and "__pycache__" not in path.parts:
            made_of.update(f"{path.relative_to(source)}\n".encode())
            made_of.update(path.read_bytes())
    return f"docker.io/ebb-lab/ebb-{framework}:{made_of.hexdigest()[:12]}"


def layers(name: str) -> list[str]:
    """The digests of a built image's layers, the base first."""
    told = json.loads(buildah.run(buildah.words("inspect", "--type", "image", name)))
    return [str(digest) for digest in told["OCIv1"]["rootfs"]["diff_ids"]]


def _packages(folder: Path) -> list[str]:
    """Where pip gets packages from is this machine's affair: shown to a build, never kept."""
    settings = _pip("config", "list").splitlines()
    found = dict(line.partition("=")[::2] for line in settings)
    values = {key.rpartition(".")[2]: ast.literal_eval(value) for key, value in found.items()}
    kept = {key: value for key, value in values.items() if key not in _OF_THIS_MACHINE}
    kept["cache-dir"] = _PIP_CACHE
    cached = Path(_pip("cache", "dir").strip())
    cached.mkdir(parents=True, exist_ok=True)  # who has set up by uv may have none yet
    words = [f"--volume={cached}:{_PIP_CACHE}"]
    if "cert" in values:
        kept["cert"] = _CA
        words.append(f"--secret=id=ca,src={values['cert']}")
    lines = [f"{key} = {' '.join(str(value).split())}" for key, value in kept.items()]
    (folder / "pip.conf").write_text("\n".join(["[global]", *lines, ""]))
    return [*words, f"--secret=id=pip,src={folder / 'pip.conf'}"]


def _pip(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=True,
    )
    return done.stdout


def _import(lab: Lab, name: str) -> None:
    """Hand containerd the layers that it has not got; the others may be hundreds of megabytes."""
    had = namespace.run_inside(lab, [*_CTR, "content", "ls", "-q"]).split()
    with buildah.scratch() as folder:
        pushed, archive = folder / "image", folder / "image.tar"
        buildah.run(buildah.words("push", "--disable-compression", name, f"dir:{pushed}"))
        _write_archive(pushed, archive, name, {digest.partition(":")[2] for digest in had})
        words = [*_CTR, "images", "import", str(archive)]
        namespace.run_inside(lab, words, timeout_s=_TIMEOUT_S)


def _write_archive(pushed: Path, archive: Path, name: str, had: set[str]) -> None:
    """An archive of the Open Container Initiative's layout, without the blobs that are there."""
    manifest = (pushed / "manifest.json").read_bytes()
    digest = hashlib.sha256(manifest).hexdigest()
    (pushed / digest).write_bytes(manifest)
    told: dict[str, Any] = json.loads(manifest)
    described = {
        "mediaType": told["mediaType"],
        "digest": f"sha256:{digest}",
        "size": len(manifest),
        "annotations": {"io.containerd.image.name": name},
    }
    (pushed / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [described]}))
    (pushed / "oci-layout").write_text(json.dumps({"imageLayoutVersion": "1.0.0"}))
    blobs = [blob["digest"].partition(":")[2] for blob in (told["config"], *told["layers"])]
    with tarfile.open(archive, "w") as tar:
        for file in ("oci-layout", "index.json"):
            tar.add(pushed / file, file)
        for blob in dict.fromkeys([digest, *blobs]):
            if blob not in had:
                tar.add(pushed / blob, f"blobs/sha256/{blob}")


@contextmanager
def _alone() -> Iterator[None]:
    """One build after another: the second finds what the first has made."""
    buildah.home().mkdir(parents=True, exist_ok=True)
    with (buildah.home() / "lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        yield
