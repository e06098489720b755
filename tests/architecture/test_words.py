"""What must be said (charters, reasons) and what must not (fixed sleeps, this machine's names)."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture.sources import PACKAGES, ROOT, Module, modules, modules_under

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
SLEEPER = "ebbtide.infra.waiting"
_MIN_REASON_WORDS = 2

# Written in parts, because this file is tracked as well.
_HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "registry.npmjs" + ".org", "goproxy" + ".")
_FOLDERS = ("work", "root", "home")
_LOCAL = re.compile(
    "|".join([*map(re.escape, _HOSTS), rf"(?<![\w.~:>$*}}/-])/(?:{'|'.join(_FOLDERS)})/"])
)
_HASH_LINE = re.compile(r"^\s+--hash=\S+( \\)?$")

_RETIRED = re.compile(
    r"(^|_)(words|most|least|house|ground|desk|book|crew|bury|buried|forgive|relet|forsaken|unborn"
    r"|dut(y|ies)|sign_(in|out)|lapsed?)(_|$)",
    re.IGNORECASE,
)
"""Parts of names that were replaced by the terms of the field; see the glossary."""
_RETIRED_PROSE = re.compile(r"\b([Gg]ives (whether|the|what|it|False|0)|[Ss]aid (again|twice))\b")
_PUBLIC_NAMES = ("LEASE_LAPSED",)
"""Reason codes stay as they are."""


@pytest.mark.parametrize(
    "package", [m for m in modules() if m.is_package], ids=lambda module: module.name
)
def test_a_package_says_what_does_not_belong_in_it(package: Module) -> None:
    charter = " ".join((ast.get_docstring(package.tree) or "").split())
    assert "not belong" in charter


def test_every_dependency_has_its_reason_beside_it() -> None:
    bare = [need for need in _dependencies() if not _has_reason(need)]
    assert bare == []


@pytest.mark.parametrize("folder", [*PACKAGES, "tests", "benchmarks"])
def test_nothing_sleeps_for_a_fixed_time(folder: str) -> None:
    sleeps = [
        f"{module.name}:{line}"
        for module in modules_under(folder)
        if module.name not in (SLEEPER, "tests.load")
        for line in _sleeps(module)
    ]
    assert sleeps == []


def test_the_one_place_that_sleeps_is_known() -> None:
    assert [module.name for module in modules() if _sleeps(module)] == [SLEEPER]


def test_no_file_names_a_registry_or_a_folder_of_one_machine() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for file in _tracked_files()
        for number, line in enumerate(_text(file).splitlines(), start=1)
        if _LOCAL.search(line) and not _HASH_LINE.match(line)
    ]
    assert found == []


def test_names_that_were_replaced_do_not_come_back() -> None:
    found = [
        f"{module.path.relative_to(ROOT)}:{line}: {name}"
        for module in modules()
        for line, name in _names(module)
        if _RETIRED.search(name) and name not in _PUBLIC_NAMES
    ]
    assert found == []


def test_phrases_that_were_replaced_do_not_come_back() -> None:
    found = [
        f"{module.path.relative_to(ROOT)}:{number}: {line.strip()}"
        for module in modules()
        for number, line in enumerate(_text(module.path).splitlines(), start=1)
        if _RETIRED_PROSE.search(line)
    ]
    assert found == []


def _names(module: Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything that the module names itself."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr
        elif isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.name


def _dependencies() -> list[str]:
    data = tomllib.loads(PYPROJECT)
    project = data["project"]
    groups = [*project["optional-dependencies"].values(), project["dependencies"]]
    own = f"{project['name']}["
    listed = [need for group in groups for need in group if not need.startswith(own)]
    return [*listed, *data["build-system"]["requires"]]


def _has_reason(need: str) -> bool:
    """Whether each line that names it ends with a comment of some words."""
    lines = [line for line in PYPROJECT.splitlines() if f'"{need}"' in line.split("#")[0]]
    comments = [line.partition("#")[2].split() for line in lines]
    return bool(lines) and all(len(words) >= _MIN_REASON_WORDS for words in comments)


def _sleeps(module: Module) -> list[int]:
    """Lines that take ``sleep`` from ``time``; programs inside strings are the user's."""
    nodes = ast.walk(module.tree)
    return [
        node.lineno
        for node in nodes
        if (isinstance(node, ast.Attribute) and ast.unparse(node) == "time.sleep")
        or (
            isinstance(node, ast.ImportFrom)
            and node.module == "time"
            and any(alias.name == "sleep" for alias in node.names)
        )
    ]


def _tracked_files() -> list[Path]:
    """Tracked, or about to be: everything that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name]
    assert files
    return [file for file in files if file.is_file()]


def _text(file: Path) -> str:
    """Empty for a file that is not text."""
    data = file.read_bytes()
    return "" if b"\0" in data else data.decode("utf-8", errors="replace")
