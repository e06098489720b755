"""Option values exactly at what is allowed, one below and one above; and what a bad one says."""

from __future__ import annotations

from typing import Any

import pytest

from ebbtide.infra.errors import Problem
from ebbtide.infra.request.hints import did_you_mean, nearest
from ebbtide.infra.request.options import merge

MIB = 2**20


def given(name: str, text: str) -> tuple[Any, list[Problem]]:
    values, problems = merge({name: text}, {}, file={})
    return values[name], problems


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("target-cpu", "1", 1.0),
        ("target-cpu", "1000", 1000.0),
        ("attempts", "1", 1),
        ("attempts", "10", 10),
        ("replacements", "0", 0),
        ("replacements", "10", 10),
        ("lease", "2s", 2.0),
        ("max-output", "1Mi", MIB),
        ("max-output", str(MIB), MIB),
        ("max-processes", "10", 10),
        ("name", "a", "a"),
        ("name", "a" * 40, "a" * 40),
    ],
)
def test_edge_of_what_is_allowed_belongs_to_it(name: str, text: str, value: Any) -> None:
    assert given(name, text) == (value, [])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("target-cpu", "0.99"),
        ("target-cpu", "1000.1"),
        ("attempts", "0"),
        ("attempts", "11"),
        ("replacements", "-1"),
        ("replacements", "11"),
        ("lease", "1999ms"),
        ("max-output", str(MIB - 1)),
        ("max-processes", "9"),
        ("max-processes", "²"),
        ("name", "a" * 41),
        ("name", ""),
    ],
)
def test_just_beyond_the_edge_is_refused(name: str, text: str) -> None:
    _, (problem,) = given(name, text)
    assert problem.summary.startswith(f"option --{name}: ")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("My Run", "write at most 40 letters a-z, digits and dashes between them, like my-run"),
        ("-x-", "write at most 40 letters a-z, digits and dashes between them, like x"),
        ("!!!", "write at most 40 letters a-z, digits and dashes between them"),
        (
            "ü" + "a" * 60,
            f"write at most 40 letters a-z, digits and dashes between them, like {'a' * 40}",
        ),
        (
            "a" * 39 + " b",
            f"write at most 40 letters a-z, digits and dashes between them, like {'a' * 39}",
        ),
    ],
    ids=["words", "dashes", "nothing is left", "too long", "cut at a dash"],
)
def test_name_that_is_no_name_is_offered_the_nearest_that_is_one(text: str, hint: str) -> None:
    _, (problem,) = given("name", text)
    assert problem.hint == hint


@pytest.mark.parametrize("text", ["!!!", "a" * 41, "My Run", "x" * 39 + "-y"])
def test_name_that_is_offered_is_accepted(text: str) -> None:
    _, (problem,) = given("name", text)
    _, like, offered = problem.hint.partition(", like ")
    assert not like or given("name", offered) == (offered, [])


def test_value_that_is_bad_in_the_strongest_source_is_not_taken_from_a_weaker_one() -> None:
    values, problems = merge({"attempts": "many"}, {"EBB_ATTEMPTS": "7"}, file={})
    assert (values["attempts"], len(problems)) == (3, 1)


def test_quote_left_open_in_one_source_does_not_hide_the_others() -> None:
    sources = {"EBB_ENV": "A='x"}
    values, problems = merge({"env": ["B=1"]}, sources, file={"env": {"C": 2}})
    assert (values["env"], len(problems)) == ({"B": "1", "C": "2"}, 1)


def test_nearest_of_several_near_words_is_the_most_alike() -> None:
    assert nearest("workes", ["worker", "workers", "works"]) == "workers"


def test_word_is_known_by_its_beginning() -> None:
    assert nearest("kube", ["local", "kubernetes"]) == "kubernetes"


@pytest.mark.parametrize(
    ("word", "hint"), [("wrokers", "did you mean --workers?"), ("xyz", "write one")]
)
def test_hint_names_the_nearest_word_or_says_otherwise(word: str, hint: str) -> None:
    assert did_you_mean(word, ["workers"], prefix="--", otherwise="write one") == hint


@pytest.mark.parametrize("name", ["TOKEN", "token", "_t", "T1", "a_B_2"])
def test_variable_may_have_letters_of_both_cases_digits_and_underscores(name: str) -> None:
    values, problems = merge({"env": [f"{name}=x"], "secret": [name]}, {}, file={})
    assert (values["env"], values["secret"], problems) == ({name: "x"}, (name,), [])


@pytest.mark.parametrize("name", ["1T", "a-b", "a b", "ä", ""])
def test_variable_with_anything_else_is_refused(name: str) -> None:
    _, (problem,) = merge({"secret": [name]}, {}, file={})
    assert problem.hint == "write letters, digits and _"
