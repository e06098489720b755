"""A notebook as a program: what keeps it from being executed is told before anything is made."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra import notebook as executing
from ebbtide.infra.request.program import notebook
from ebbtide.infra.request.program.check import check_program, check_shipped
from tests.run_lines import run_arguments

DEFAULTS = "epochs = 1\nrate, name = 0.1, 'a'\n"


def write(folder: Path, *, tags: tuple[str, ...] = ("parameters",), **metadata: Any) -> str:
    """A notebook with one cell of parameters."""
    cell = {"cell_type": "code", "source": DEFAULTS, "metadata": {"tags": list(tags)}}
    text = json.dumps({"cells": [cell], "metadata": metadata, "nbformat": 4})
    (folder / "train.ipynb").write_text(text)
    return "train.ipynb"


def problems(folder: Path, *argv: str) -> list[str]:
    return [f"{one.summary}; {one.hint}" for one in check_program(argv, folder)[1]]


def test_a_notebook_is_executed_by_our_program_in_the_same_python(tmp_path: Path) -> None:
    argv = (write(tmp_path), "-p", "epochs=3")
    expected = (sys.executable, "-m", "ebbtide.infra.notebook", *argv)
    assert check_program(argv, tmp_path) == (expected, [])
    assert notebook.notebook_of(expected) == argv


def test_in_an_image_it_is_executed_by_the_images_python(tmp_path: Path) -> None:
    argv, found = check_shipped((write(tmp_path),), tmp_path)
    assert (argv[0], found) == ("python", [])


def test_every_wrong_parameter_is_told_with_the_nearest(tmp_path: Path) -> None:
    assert problems(tmp_path, write(tmp_path), "-p", "epoch=3", "-p", "rate=1", "more") == [
        "more is no parameter of train.ipynb; write them like -p epochs=3",
        "train.ipynb has no parameter epoch; did you mean -p epochs?",
    ]


def test_parameters_need_a_cell_of_parameters(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, write(tmp_path, tags=()), "-p", "epochs=3")
    assert said.startswith("train.ipynb has no cell of parameters; give the cell")


def test_a_notebook_of_another_language_is_refused(tmp_path: Path) -> None:
    (said,) = problems(tmp_path, write(tmp_path, kernelspec={"language": "R"}))
    assert said.startswith("train.ipynb is a notebook of R")


def test_a_notebook_without_metadata_is_pythons(tmp_path: Path) -> None:
    for text in (
        '{"cells": [], "metadata": null}',
        '{"cells": [], "metadata": {"kernelspec": null}}',
    ):
        (tmp_path / "train.ipynb").write_text(text)
        assert problems(tmp_path, "train.ipynb") == []


@pytest.mark.parametrize("text", ["", "[]", '{"cells": 3}', '{"worksheets": []}'])
def test_what_is_no_notebook_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.ipynb").write_text(text)
    (said,) = problems(tmp_path, "train.ipynb")
    assert said.startswith("train.ipynb is not a notebook of format 4")


def test_a_missing_notebook_is_told_with_the_nearest(tmp_path: Path) -> None:
    write(tmp_path)
    assert problems(tmp_path, "trian.ipynb") == [
        "trian.ipynb does not exist; did you mean train.ipynb?"
    ]


def test_packages_that_are_missing_are_told_with_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notebook, "_NEEDS", ("no_such_package",))
    assert problems(tmp_path, write(tmp_path)) == [
        'a notebook needs no_such_package; pip install "ebbtide[notebook]"'
    ]


@pytest.mark.parametrize(
    ("text", "value"),
    [("n=3", 3), ("n=1e-3", 0.001), ("n=True", True), ("n=None", None), ("n=a=b", "a=b")],
)
def test_a_value_that_reads_as_a_number_or_constant_is_one(text: str, value: object) -> None:
    assert executing.parse_parameter(text) == ("n", value)


def test_p_is_a_notebooks_only() -> None:
    taken = run_arguments("--workers", "2", "a.ipynb", "-p", "x=1", "--detach")
    assert (taken.argv, taken.problems) == (("a.ipynb", "-p", "x=1"), ())
    assert [one.summary for one in run_arguments("a.py", "-p", "x=1").problems] == [
        "there is no option -p"
    ]
