"""The public functions take every option of the table, by name, with its type and its words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

import ebbtide
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.request.keywords import RunOptions
from ebbtide.infra.request.options import OPTIONS

KEYWORDS = [name.replace("-", "_") for name in OPTIONS]
FUNCTIONS = [ebbtide.run, ebbtide.cluster, ebbtide.job]


def test_every_option_of_the_table_has_a_type_and_nothing_else_has() -> None:
    assert sorted(get_type_hints(RunOptions)) == sorted(KEYWORDS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_option_is_a_keyword_with_type_and_words(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert [name for name in KEYWORDS if name not in parameters] == []
    assert all(parameters[name].annotation is not inspect.Parameter.empty for name in KEYWORDS)
    assert [name for name in KEYWORDS if f" {name}: " not in (function.__doc__ or "")] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_there_is_no_other_way_to_name_an_option(function: Callable[..., Any]) -> None:
    kinds = {parameter.kind for parameter in inspect.signature(function).parameters.values()}
    assert inspect.Parameter.VAR_KEYWORD not in kinds


def test_words_of_an_option_are_those_of_the_table() -> None:
    for name, option in OPTIONS.items():
        assert f"    {name.replace('-', '_')}: {option.help}.\n" in (ebbtide.run.__doc__ or "")


def test_what_is_for_flows_is_refused_in_a_script() -> None:
    with pytest.raises(ConfigurationError, match="for flows"):
        ebbtide.cluster("dask", keep_while_suspended="30m")


def test_all_names_of_the_package_can_be_had() -> None:
    assert [name for name in ebbtide.__all__ if getattr(ebbtide, name, None) is None] == []
    with pytest.raises(AttributeError, match="clustre"):
        _ = ebbtide.clustre  # type: ignore[attr-defined]
