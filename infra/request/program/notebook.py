"""A notebook as the program of a run: ``train.ipynb -p epochs=3``, checked before anything is made.

Does not belong here: executing it (``infra.notebook``, in the program's own process).
"""

from __future__ import annotations

import ast
import importlib.util
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean

SUFFIX = ".ipynb"
_RUNNER = "ebbtide.infra.notebook"
_NEEDS = ("papermill", "ipykernel")
_TAG = "parameters"
"""Of the cell whose values are replaced, as papermill has it."""


def is_notebook(argv: Sequence[str]) -> bool:
    """Whether the program is a notebook."""
    return bool(argv) and argv[0].endswith(SUFFIX)


def command_line(interpreter: str, argv: Sequence[str]) -> tuple[str, ...]:
    """Return the command line that executes a notebook.

    Args:
        interpreter: of the program's process.
        argv: the notebook and its parameters, as typed.

    Returns:
        The command line.
    """
    return (interpreter, "-m", _RUNNER, *argv)


def notebook_of(argv: Sequence[str]) -> tuple[str, ...]:
    """Return the notebook and its parameters of a command line that executes one; else nothing."""
    return tuple(argv[3:]) if tuple(argv[1:3]) == ("-m", _RUNNER) else ()


def missing_here() -> list[Problem]:
    """Return what this Python lacks for notebooks."""
    missing = [name for name in _NEEDS if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    summary = f"a notebook needs {' and '.join(missing)}"
    return [_problem(summary, 'pip install "ebbtide[notebook]"')]


def check_notebook(argv: Sequence[str], workdir: Path) -> list[Problem]:
    """Find out what would keep a notebook from being executed.

    Args:
        argv: the notebook, as a path that is there, and its parameters.
        workdir: the folder its path is relative to.

    Returns:
        All that is wrong.
    """
    path, *rest = argv
    try:
        content = json.loads((workdir / path).read_bytes())
        cells = list(_code_cells(content))
        problems = _language(path, content)
    except OSError as error:
        return [_problem(f"{path} cannot be read: {error.strerror}")]
    except (ValueError, KeyError, TypeError, AttributeError):
        return [_problem(f"{path} is not a notebook of format 4", "save it in Jupyter again")]
    names, wrong = _parameter_names(path, rest)
    return [*problems, *wrong, *_unknown(path, names, cells)]


def _code_cells(content: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Source and tags of each code cell."""
    for cell in content["cells"]:
        if cell["cell_type"] == "code":
            source = cell["source"]
            text = source if isinstance(source, str) else "".join(source)
            yield text, list((cell.get("metadata") or {}).get("tags") or [])


def _language(path: str, content: dict[str, Any]) -> list[Problem]:
    kernel = (content.get("metadata") or {}).get("kernelspec") or {}
    language = kernel.get("language") or "python"
    if language == "python":
        return []
    return [_problem(f"{path} is a notebook of {language}", "only those of Python can be run")]


def _parameter_names(path: str, rest: Sequence[str]) -> tuple[list[str], list[Problem]]:
    names, problems, typed = [], [], iter(rest)
    for word in typed:
        name, equals, _ = next(typed, "").partition("=") if word == "-p" else ("", "", "")
        if equals and name.isidentifier():
            names.append(name)
        else:
            summary = f"{word} is no parameter of {path}"
            problems.append(_problem(summary, "write them like -p epochs=3"))
    return names, problems


def _unknown(path: str, names: Sequence[str], cells: list[tuple[str, list[str]]]) -> list[Problem]:
    """Parameters that the notebook does not have."""
    tagged = [source for source, tags in cells if _TAG in tags]
    if names and not tagged:
        hint = f"give the cell that sets their defaults the tag {_TAG} (Jupyter: cell, edit tags)"
        return [_problem(f"{path} has no cell of parameters", hint)]
    known = {name for source in tagged for name in _assigned(source)}
    return [
        _problem(f"{path} has no parameter {name}", did_you_mean(name, known, prefix="-p "))
        for name in names
        if known and name not in known
    ]


def _assigned(source: str) -> Iterator[str]:
    try:
        body = ast.parse(source).body
    except SyntaxError:  # magics; the kernel understands them
        return
    for statement in body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id


def _problem(summary: str, hint: str = "") -> Problem:
    return Problem(Reason.PROGRAM_INVALID, summary, hint)
