"""What a public function of three or more parameters says of each, and of what it returns.

A method of a class whose docstring says "See ``module.Protocol``" may leave that to the protocol.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.architecture.sources import Function, Module, modules

MANY = 3
_PROTOCOL = re.compile(r"See ``([\w.]+)\.(\w+)``")
_NOTHING = ("None", "NoReturn")


@dataclass(frozen=True, slots=True)
class Documented:
    """A function or method, and the class it is in."""

    module: Module
    function: Function
    owner: ast.ClassDef | None

    @property
    def name(self) -> str:
        owner = f"{self.owner.name}." if self.owner else ""
        return f"{self.module.name}.{owner}{self.function.name}"

    @property
    def parameters(self) -> list[str]:
        given = self.function.args
        several = [each for each in (given.vararg, given.kwarg) if each]
        every = [*given.posonlyargs, *given.args, *given.kwonlyargs, *several]
        return [each.arg for each in every if each.arg not in ("self", "cls")]

    @property
    def returns(self) -> bool:
        annotation = self.function.returns
        return annotation is not None and ast.unparse(annotation) not in _NOTHING

    @property
    def text(self) -> str:
        return ast.get_docstring(self.function) or ""

    def missing(self) -> list[str]:
        """Parameters that ``Args:`` does not name, and ``Returns`` where that is needed."""
        arguments = _section(self.text, "Args")
        lines = re.findall(r"^    ([\w, *]+):", arguments, re.MULTILINE)
        told = {name.strip(" *") for line in lines for name in line.split(",")}
        gaps = [name for name in self.parameters if name not in told]
        answered = _section(self.text, "Returns") or _section(self.text, "Yields")
        return gaps if answered or not self.returns else [*gaps, "Returns"]


def public_functions() -> Iterator[Documented]:
    """Those that others may call; what stands inside a function is its own business."""
    for module in modules():
        for node in module.tree.body:
            if isinstance(node, Function):
                yield Documented(module, node, None)
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                methods = (part for part in node.body if isinstance(part, Function))
                yield from (Documented(module, method, node) for method in methods)


def test_every_parameter_and_result_of_a_public_function_is_told() -> None:
    gaps = {
        found.name: missing
        for found in public_functions()
        if len(found.parameters) >= MANY
        and not found.function.name.startswith("_")
        and not _told_by_a_protocol(found)
        and (missing := found.missing())
    }
    assert gaps == {}


@pytest.mark.parametrize(
    ("docstring", "missing"),
    [
        ("Do it.", ["one", "two", "Returns"]),
        ("Do it.\n\n    Args:\n        one: first.\n        two: second.\n    ", ["Returns"]),
        ("Do it.\n\n    Args:\n        one: first.\n\n    Returns:\n        It.\n    ", ["two"]),
        ("Do it.\n\n    Args:\n        one, two: both.\n\n    Returns:\n        It.\n    ", []),
    ],
    ids=["nothing", "no result", "one parameter", "everything"],
)
def test_what_a_docstring_leaves_out_is_found(docstring: str, missing: list[str]) -> None:
    source = f'def act(one: int, *two: int) -> int:\n    """{docstring}"""'
    function = ast.parse(source).body[0]
    assert isinstance(function, Function)
    assert Documented(modules()[0], function, None).missing() == missing


def _section(text: str, title: str) -> str:
    """The indented lines below ``title:``; empty when there are none."""
    found = re.search(rf"^{title}:\n((?:[ ]+.*\n?|\n)+)", text, re.MULTILINE)
    return found[1] if found else ""


def _told_by_a_protocol(found: Documented) -> bool:
    """Whether the class names a protocol that has the method; its docstring is checked there."""
    named = _PROTOCOL.findall(ast.get_docstring(found.owner) or "") if found.owner else []
    return any(
        isinstance(method, Function) and method.name == found.function.name
        for place, protocol in named
        for module in modules()
        if module.name == f"ebbtide.{place}"
        for node in module.tree.body
        if isinstance(node, ast.ClassDef) and node.name == protocol
        for method in node.body
    )
