"""Which files of a folder are not sent: those that git ignores, and those ``.ebbignore`` names.

Both have git's syntax and may lie in any folder. ``.ebbignore`` is asked first, so that ``!data``
in it sends what git ignores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

EBBIGNORE = ".ebbignore"
_FILES = (EBBIGNORE, ".gitignore")
"""The first that has something to say decides."""
_NEVER = frozenset(
    {".git", ".hg", ".svn", "__pycache__", ".venv", "node_modules", ".ipynb_checkpoints"}
    | {".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox", ".nox"}
)
_VIRTUAL_ENVIRONMENT = "pyvenv.cfg"


@dataclass(frozen=True, slots=True)
class _Rules:
    """One ignore file."""

    spec: GitIgnoreSpec
    base: str = ""
    """Its folder, relative to the root, with a slash at its end; empty for the root."""
    prefix: str = ""
    """The root, relative to its folder, where that lies above the root; with a slash at its end."""

    def judge(self, path: str) -> bool | None:
        """Whether it leaves a path of the root out; None when it says nothing of it."""
        return self.spec.check_file(self.prefix + path.removeprefix(self.base)).include


class Ignored:
    """Judges paths below one folder."""

    def __init__(self, root: Path):
        self._root = root
        self._rules: dict[str, tuple[tuple[_Rules, ...], ...]] = {}

    def __call__(self, path: str, *, is_folder: bool) -> bool:
        """Tell whether a file or folder is left out.

        Args:
            path: relative to the root, with ``/``. The folders above it are not left out.
            is_folder: whether it is one; then nothing below it need be asked.

        Returns:
            Whether it is left out.
        """
        name = PurePosixPath(path).name
        if name in _NEVER or (is_folder and (self._root / path / _VIRTUAL_ENVIRONMENT).exists()):
            return True
        parent = "" if "/" not in path else path.rpartition("/")[0]
        asked = f"{path}/" if is_folder else path
        for kind in self._of(parent):
            for rules in reversed(kind):  # the nearest first
                found = rules.judge(asked)
                if found is not None:
                    return found
        return False

    def _of(self, folder: str) -> tuple[tuple[_Rules, ...], ...]:
        """The rules for what lies in a folder: for each kind of file from the root to here."""
        if folder not in self._rules:
            if folder:
                above = self._of(folder.rpartition("/")[0] if "/" in folder else "")
            else:
                above = tuple(tuple(_above(self._root, name)) for name in _FILES)
            base = f"{folder}/" if folder else ""
            here = (_read(self._root / folder / name) for name in _FILES)
            self._rules[folder] = tuple(
                (*known, _Rules(spec, base)) if spec is not None else known
                for known, spec in zip(above, here, strict=True)
            )
        return self._rules[folder]


def _above(root: Path, name: str) -> Iterator[_Rules]:
    """Rules of the git repository that the root is a folder of, the farthest first.

    One that leaves the root itself out says nothing about what is in it.
    """
    for parent in reversed(_parents_in_repository(root)):
        spec = _read(parent / name)
        prefix = root.relative_to(parent).as_posix() + "/"
        if spec is not None and not spec.check_file(prefix).include:
            yield _Rules(spec, prefix=prefix)


def _parents_in_repository(root: Path) -> list[Path]:
    found: list[Path] = []
    if (root / ".git").exists():
        return found
    for parent in root.parents:
        found.append(parent)
        if (parent / ".git").exists():
            return found
    return []


def _read(file: Path) -> GitIgnoreSpec | None:
    try:
        lines = file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    return GitIgnoreSpec.from_lines(lines)
