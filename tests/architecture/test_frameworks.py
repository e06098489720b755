"""Frameworks write command lines for any machine and so name nothing of this one."""

from __future__ import annotations

import ast
import ipaddress
import re
from collections.abc import Iterator

import pytest

from tests.architecture.sources import Module, modules_under

_ADDRESS = re.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b|\[?::1\]?")
_NAME = re.compile(r"\blocalhost\b", re.IGNORECASE)


@pytest.mark.parametrize(
    "module", modules_under("infra/frameworks"), ids=lambda module: str(module.name)
)
def test_a_framework_names_neither_this_machine_nor_its_interpreter(module: Module) -> None:
    assert list(_of_this_machine(module.tree)) == []


@pytest.mark.parametrize(
    "code",
    [
        'bind = "127.0.0.1"',
        'url = f"http://127.1.0.1:{port}/"',
        'host = "LocalHost"',
        'host = "[::1]:80"',
        "argv = (sys.executable, '-P')",
        "from sys import executable",
    ],
)
def test_what_names_this_machine_is_found(code: str) -> None:
    assert list(_of_this_machine(ast.parse(code)))


def test_what_is_of_another_machine_is_not_found() -> None:
    code = 'x = ["10.0.0.7", "0.0.0.0", "2.60", "a::b", sys.argv, "executable"]'
    assert list(_of_this_machine(ast.parse(code))) == []


def _of_this_machine(tree: ast.AST) -> Iterator[str]:
    """Line and text of each loopback address or name, and of each use of ``sys.executable``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _names_loopback(node.value):
                yield f"{node.lineno}: {node.value!r}"
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.executable":
            yield f"{node.lineno}: sys.executable"
        elif isinstance(node, ast.ImportFrom) and node.module == "sys":
            yield from (f"{node.lineno}: {a.name}" for a in node.names if a.name == "executable")


def _names_loopback(text: str) -> bool:
    found = (each.strip("[]") for each in _ADDRESS.findall(text))
    return _NAME.search(text) is not None or any(map(_is_loopback, found))


def _is_loopback(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_loopback
    except ValueError:
        return False
