"""A program's command line as it is in a pod: its interpreter and its paths are of another machine.

Pure but for looking whether paths exist. What lies outside of the folder that is sent is a problem
with its alternatives, before anything is made.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes import layout

_PYTHON = re.compile(r"python(\d+(\.\d+)?)?")
_SYSTEM = ("/bin", "/sbin", "/usr", "/etc", "/dev", "/proc", "/sys", "/run", "/opt", "/lib")
"""An image has these of its own; what is named there is left as it is."""
_ARGUMENT = re.compile(r"(--?[\w-]+=)?(.+)", re.DOTALL)
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"


@dataclass(frozen=True, slots=True, kw_only=True)
class Translated:
    """A program as it is started in a pod."""

    job: JobSpec
    import_path: tuple[str, ...]
    """Folders from which workers import its modules."""
    script: str = ""
    """The program's own file in the folder that is sent; empty when it has none there."""
    problems: tuple[Problem, ...] = ()


def translate(job: JobSpec, root: Path) -> Translated:
    """Translate a program that runs here into one that runs in a pod, where the root is unpacked.

    Args:
        job: as it would run on this machine, with its absolute workdir.
        root: the folder that is sent; the workdir is it or lies in it.

    Returns:
        The program in the pod; with problems it cannot run there.
    """
    if job.code:
        return _elsewhere(job)
    root, workdir = root.resolve(), Path(job.workdir).resolve()
    if not workdir.is_relative_to(root):
        problem = _outside(f"the workdir {workdir}", root)
        return Translated(job=job, import_path=(), problems=(problem,))
    paths = _Paths(root, workdir)
    argv = (*paths.command(job.argv[:1]), *paths.arguments(job.argv))
    env, import_path = dict(job.env), [paths.in_pod(workdir)]
    script = paths.script(job.argv)
    if script:
        import_path.append(paths.in_pod((root / script).parent))
    if "PYTHONPATH" in env:
        folders = [*paths.import_folders(env["PYTHONPATH"])]
        env["PYTHONPATH"] = os.pathsep.join(folders)
        import_path += folders
    moved = replace(job, argv=argv, workdir=paths.in_pod(workdir), env=env)
    return Translated(
        job=moved,
        import_path=tuple(dict.fromkeys(import_path)),
        script=script,
        problems=tuple(paths.problems),
    )


def _elsewhere(job: JobSpec) -> Translated:
    """A program whose code is not here: its paths are those of that code already."""
    python = _PYTHON.fullmatch(os.path.basename(job.argv[0]))
    argv = (layout.paths().python if python else job.argv[0], *job.argv[1:])
    script = _script(argv)
    beside = str(layout.CODE / Path(script).parent) if script else str(layout.CODE)
    moved = replace(job, argv=argv, workdir=str(layout.CODE))
    return Translated(job=moved, import_path=tuple(dict.fromkeys((str(layout.CODE), beside))))


def session_import_path(
    folders: Iterable[str], root: Path
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Translate the folders where a Python session finds its modules.

    Args:
        folders: absolute ones of this machine.
        root: the folder that is sent.

    Returns:
        Those of them that workers have, as they are in a pod; and those that are not sent.
    """
    root = root.resolve()
    paths, inside, outside = _Paths(root, root), [str(layout.CODE)], []
    for folder in folders:
        path = Path(folder).resolve()
        if path.is_relative_to(root):
            inside.append(paths.in_pod(path))
        else:
            outside.append(folder)
    return tuple(dict.fromkeys(inside)), tuple(outside)


class _Paths:
    """Paths of one program; collects the problems."""

    def __init__(self, root: Path, workdir: Path):
        self._root, self._workdir = root, workdir
        self.problems: list[Problem] = []

    def in_pod(self, path: Path) -> str:
        """A path in the root, as it is in a pod."""
        return str(layout.CODE / path.relative_to(self._root))

    def command(self, argv: Iterable[str]) -> Iterator[str]:
        """The first word."""
        for word in argv:
            name, path = os.path.basename(word), self._workdir / word
            if _PYTHON.fullmatch(name) or path == Path(sys.executable):
                yield layout.paths().python
            elif os.sep not in word or _is_installed(path):
                yield name  # the image's own, by its PATH
            elif path.resolve().is_relative_to(self._root):
                yield self.in_pod(path.resolve())
            else:
                self.problems.append(_outside(word, self._root))
                yield word

    def arguments(self, argv: tuple[str, ...]) -> Iterator[str]:
        """The other words: those that name files of the root name them in the pod."""
        inline = False
        for position, word in enumerate(argv[1:], start=1):
            found = word if inline else self._argument(word, is_script=word == _script(argv))
            inline = position == 1 and word == "-c"
            yield found

    def script(self, argv: tuple[str, ...]) -> str:
        """The program's own file, relative to the root; empty when it is not in there."""
        for word in (_script(argv), argv[0] if os.sep in argv[0] else ""):
            path = (self._workdir / word).resolve() if word else None
            if path is not None and path.is_relative_to(self._root) and path.is_file():
                return "" if _is_installed(path) else path.relative_to(self._root).as_posix()
        return ""

    def import_folders(self, value: str) -> Iterator[str]:
        """The folders of a PYTHONPATH of ``--env``."""
        for folder in filter(None, value.split(os.pathsep)):
            path = (self._workdir / folder).resolve()
            if path.is_relative_to(self._root):
                yield self.in_pod(path)
            elif path.is_dir() and not _of_system(path):
                self.problems.append(_outside(f"{folder} (in --env PYTHONPATH)", self._root))
            else:
                yield folder

    def _argument(self, word: str, *, is_script: bool) -> str:
        parts = _ARGUMENT.fullmatch(word)
        if parts is None or "\0" in word:
            return word
        option, text = parts[1] or "", parts[2]
        if not (is_script or os.path.isabs(text) or text.startswith("..")):
            return word
        path = Path(os.path.normpath(self._workdir / text))
        resolved = path.resolve()
        if resolved.is_relative_to(self._root) or path.is_relative_to(self._root):
            inner = resolved if resolved.is_relative_to(self._root) else path
            return word if not os.path.isabs(text) else f"{option}{self.in_pod(inner)}"
        if is_script or (resolved.is_file() and not _of_system(resolved)):
            self.problems.append(_outside(text, self._root))
        return word


def _script(argv: tuple[str, ...]) -> str:
    """The script among a Python's arguments; empty without one."""
    if not _PYTHON.fullmatch(os.path.basename(argv[0])):
        return ""
    for word in argv[1:]:
        if word in ("-c", "-m", "-"):
            return ""
        if not word.startswith("-"):
            return word
    return ""


def _is_installed(path: Path) -> bool:
    """Whether it is a command of the system, or of a virtual environment."""
    folder = path.parent
    return (
        _of_system(path)
        or folder == Path(sys.executable).parent
        or (folder.parent / _VIRTUAL_ENVIRONMENT).exists()
    )


def _of_system(path: Path) -> bool:
    return any(path.is_relative_to(folder) for folder in _SYSTEM)


def _outside(what: str, root: Path) -> Problem:
    summary = f"{what} is outside of the folder that is sent to the cluster ({root})"
    hint = (
        "start ebb in a folder that has both (or --workdir), read it from object storage (fsspec:"
        " s3://, gs://, abfs://), or put it into the image"
    )
    return Problem(Reason.PROGRAM_INVALID, summary, hint)


def secret_values(job: JobSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of a run's secrets, from the environment of who started it.

    Args:
        job: with the names of its secrets.
        environ: of the process that the run was started from.

    Returns:
        Name and value of those that are set there.
    """
    return {name: environ[name] for name in job.secrets if name in environ}
