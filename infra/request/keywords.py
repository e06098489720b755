"""The options of ``ebb run`` as keywords of Python functions: types for checkers, text for people.

What a type checker needs stands here; names, defaults and help come from the one table
(``infra.request.options``), and a test keeps the two equal.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar, get_type_hints

from ebbtide.infra.request.option import Option
from ebbtide.infra.request.options import OPTIONS

_Function = TypeVar("_Function", bound=Callable[..., Any])
_OPTIONS_LINE = re.compile(r"^(?P<indent> +)options: .*\n", re.MULTILINE)
"""Python 3.13 takes the common indentation out of docstrings; before, each has that of its code."""


class ClusterOptions(TypedDict, total=False):
    """The options that every run may be given."""

    tier: str | Sequence[str]
    head_tier: str | Sequence[str]
    priority: str
    workers: int | str | tuple[int, int]
    target_cpu: float | str
    target_memory: float | str
    scale_on: str | Sequence[str]
    target_backlog: str
    scale_down_window: str
    scale_up_window: str
    scale_up_step: int | str
    scale_down_step: int | str
    env: Mapping[str, str]
    secret: str | Sequence[str]
    bridge: bool | str
    tag: str | Sequence[str]
    owner: str
    workdir: str
    code: str
    code_limit: str
    start_within: str
    time_limit: str
    idle_release: str
    idle_action: str
    no_progress: str
    max_output: str
    max_processes: str | int
    outputs: str
    retry: str | Sequence[str]
    attempts: int
    replacements: int
    platform: str
    lease: str


class JobOptions(ClusterOptions, total=False):
    """The same, where the framework is an option among others."""

    framework: str


class RunOptions(JobOptions, total=False):
    """The same, where the run may be named."""

    name: str


def documented(options: type) -> Callable[[_Function], _Function]:
    """Give a function that takes ``**options: Unpack[options]`` a full signature and documentation.

    Args:
        options: one of the typed dictionaries above.

    Returns:
        A decorator; the function stays the same one.
    """

    def decorate(function: _Function) -> _Function:
        own = inspect.signature(function)
        fixed = [p for p in own.parameters.values() if p.kind is not p.VAR_KEYWORD]
        types = get_type_hints(options)
        table = [each for each in OPTIONS.values() if _keyword(each) in types]
        added = [_parameter(each, types[_keyword(each)]) for each in table]
        function.__signature__ = own.replace(parameters=[*fixed, *added])  # type: ignore[attr-defined]
        told = [f"{_keyword(each)}: {each.help}.\n" for each in table]
        if function.__doc__ is not None:
            function.__doc__ = _OPTIONS_LINE.sub(
                lambda line: "".join(line["indent"] + each for each in told), function.__doc__
            )
        return function

    return decorate


def _keyword(option: Option) -> str:
    return option.name.replace("-", "_")


def _parameter(option: Option, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(_keyword(option), kind, default=option.default, annotation=annotation)
