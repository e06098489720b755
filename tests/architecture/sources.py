"""The product's modules as the architecture tests see them: read, never imported."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("flows", "tasks", "infra")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Module:
    """One source file."""

    name: str
    path: Path

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def lines(self) -> int:
        return len(self.path.read_text(encoding="utf-8").splitlines())

    @property
    def tree(self) -> ast.Module:
        return _parse(self.path, self.path.stat().st_mtime_ns)

    def functions(self) -> Iterator[Function]:
        """All of them, also methods and functions inside functions."""
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and dotted name of everything it imports, wherever the import stands."""
        return imported(self, self.tree)


def imported(module: Module, node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and dotted name of what is imported in this part of a module.

    ``from a import b`` gives ``a.b``: whether b is a module is for the reader to say.
    """
    for part in ast.walk(node):
        if isinstance(part, ast.Import):
            yield from ((part.lineno, alias.name) for alias in part.names)
        elif isinstance(part, ast.ImportFrom):
            base = _absolute(module, part)
            yield from ((part.lineno, f"{base}.{alias.name}") for alias in part.names)


def modules_under(*folders: str) -> list[Module]:
    """Every Python file below these folders of the project."""
    files = (file for folder in folders for file in sorted((ROOT / folder).rglob("*.py")))
    return [Module(_name(file), file) for file in files]


def modules() -> list[Module]:
    """Every module of the three packages."""
    return modules_under(*PACKAGES)


def _name(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    package = ("ebbtide",) if parts[0] in PACKAGES else ()
    return ".".join((*package, *(parts[:-1] if parts[-1] == "__init__" else parts)))


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    up = node.level - 1 if module.is_package else node.level
    parts = module.name.split(".")
    return ".".join([*parts[: len(parts) - up], *([node.module] if node.module else [])])


@functools.cache
def _parse(path: Path, _changed_ns: int) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
