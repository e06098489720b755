"""The error tree and its tables are total: each reason has a meaning, each error is drawn."""

from __future__ import annotations

import ast
import re

import pytest

import ebbtide.infra.errors
from ebbtide.infra.errors import ConfigurationError, EbbError, JobError, error_for
from ebbtide.infra.models.phases import REASONS, STEP_LABELS, ExitCode, Phase, Reason, Step
from tests.architecture.sources import modules

TREE = ebbtide.infra.errors.__doc__ or ""
DRAWN = dict(re.findall(r"[├└]── (\w+)\s+([A-Z]+):\*", TREE))
"""Class name → family, as the docstring draws them."""

FIRST_ERROR = {"EbbError"}
EXIT_CODES = {
    "misconfiguration": {64},
    "capacity": {69},
    "infra": {70, 75},
    "job": {1, 64, 124, 130, 141},
    "release": {75},
}
"""Family → what its reasons may exit with; 1 stands in for a program whose own code is unknown."""


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_has_a_row_in_the_table(reason: Reason) -> None:
    assert reason in REASONS
    assert REASONS[reason].sentence
    assert isinstance(REASONS[reason].phase, Phase)


def test_no_two_reasons_read_the_same() -> None:
    sentences = [info.sentence for info in REASONS.values()]
    assert sorted(set(sentences)) == sorted(sentences)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_makes_an_error_that_carries_it(reason: Reason) -> None:
    error = error_for(reason, detail="why", hint="what to do")
    assert type(error) is not EbbError
    assert (error.reason, error.hint) == (reason, "what to do")
    assert error.family == reason.family
    assert error.retryable is (REASONS[reason].retry_delay_s is not None)
    assert str(reason) in str(error)


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_exits_as_documented(reason: Reason) -> None:
    assert error_for(reason).exit_code in EXIT_CODES[reason.family]


def test_exit_codes_are_the_documented_ones() -> None:
    codes = {name: code for name, code in vars(ExitCode).items() if name.isupper()}
    assert codes == {
        "OK": 0,
        "MISCONFIGURATION": 64,
        "NO_CAPACITY": 69,
        "INFRASTRUCTURE": 70,
        "TEMPORARY": 75,
        "TIMEOUT": 124,
        "INTERRUPTED": 130,
        "READER_GONE": 141,
    }


@pytest.mark.parametrize(("code", "seen"), [(3, 3), (-9, 137), (64, 64), (None, 1)])
def test_a_program_keeps_its_own_exit_code(code: int | None, seen: int) -> None:
    assert JobError(Reason.EXIT_CODE, program_exit_code=code).exit_code == seen


def test_a_misconfiguration_is_never_retried() -> None:
    fixable = [reason for reason in Reason if reason.family == ConfigurationError.family]
    assert fixable
    assert not any(error_for(reason).retryable for reason in fixable)


def test_every_error_class_is_drawn_with_its_family() -> None:
    defined = _error_classes()
    assert defined == FIRST_ERROR | set(DRAWN)
    families = {name: getattr(ebbtide.infra.errors, name).family for name in DRAWN}
    assert families == {name: family.lower() for name, family in DRAWN.items()}


def test_every_family_has_a_class() -> None:
    assert {reason.family for reason in Reason} == {family.lower() for family in DRAWN.values()}


def test_an_error_refuses_a_reason_of_another_family() -> None:
    with pytest.raises(TypeError, match="cannot carry"):
        JobError(Reason.HEAD_LOST)


@pytest.mark.parametrize("step", Step)
def test_a_step_has_a_label(step: Step) -> None:
    assert STEP_LABELS[step]


def _error_classes() -> set[str]:
    """Names of all classes of ours that derive from the first one, wherever they are."""
    bases = {
        node.name: {ast.unparse(base).rpartition(".")[2] for base in node.bases}
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    }
    found = set(FIRST_ERROR)
    while more := {name for name, above in bases.items() if above & found} - found:
        found |= more
    return found
