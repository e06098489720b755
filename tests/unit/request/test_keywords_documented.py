"""A function with ``**options`` gets a signature and words of the table, and stays the same one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from ebbtide.infra.request.keywords import RunOptions, documented
from ebbtide.infra.request.options import OPTIONS


class Few(TypedDict, total=False):
    """Two options of the table, in another order than there."""

    head_tier: str
    framework: str


def plain(program: str, *, wait: bool = True, **options: Any) -> dict[str, Any]:
    """Run a program.

    Args:
        program: what to run.
        options: those of the table,
        wait: until it ends.

    Returns:
        What was said.
    """
    return {"program": program, "wait": wait, **options}


@pytest.fixture
def made() -> Callable[..., Any]:
    """A fresh function each time: what is documented is changed in place."""

    def copy(program: str, *, wait: bool = True, **options: Any) -> dict[str, Any]:
        return plain(program, wait=wait, **options)

    copy.__doc__ = plain.__doc__
    return documented(Few)(copy)


def test_options_follow_the_functions_own_parameters_in_the_tables_order(
    made: Callable[..., Any],
) -> None:
    assert list(inspect.signature(made).parameters) == ["program", "wait", "framework", "head_tier"]


def test_option_is_a_keyword_with_the_tables_default_and_the_given_type(
    made: Callable[..., Any],
) -> None:
    framework = inspect.signature(made).parameters["framework"]
    assert (framework.kind, framework.annotation) == (inspect.Parameter.KEYWORD_ONLY, str)
    assert framework.default == OPTIONS["framework"].default


def test_words_of_the_options_stand_in_place_of_their_line(made: Callable[..., Any]) -> None:
    assert inspect.getdoc(made) == inspect.cleandoc(
        f"""Run a program.

        Args:
            program: what to run.
            framework: {OPTIONS["framework"].help}.
            head_tier: {OPTIONS["head-tier"].help}.
            wait: until it ends.

        Returns:
            What was said.
        """
    )


def test_function_does_what_it_did(made: Callable[..., Any]) -> None:
    assert made("a", wait=False, tier="b") == {"program": "a", "wait": False, "tier": "b"}


def test_function_stays_the_same_one() -> None:
    def own(**options: Any) -> None: ...

    assert documented(RunOptions)(own) is own


@pytest.mark.parametrize("words", [None, "Run it.\n\n    Later."])
def test_words_without_a_line_for_options_stay_as_they_are(words: str | None) -> None:
    def own(**options: Any) -> None: ...

    own.__doc__ = words
    assert documented(RunOptions)(own).__doc__ == words


def test_every_option_of_a_run_is_a_parameter() -> None:
    def own(**options: Any) -> None: ...

    parameters = inspect.signature(documented(RunOptions)(own)).parameters
    assert list(parameters) == [name.replace("-", "_") for name in OPTIONS]
