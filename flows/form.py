"""What Prefect's form asks for a run, and how the answers become a request.

The form knows bounds, choices and defaults, so that most mistakes are refused before there is a
run; what only makes sense together is judged by ``infra.request.spec`` before anything
is made.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.base import known_frameworks
from ebbtide.infra.lifecycle.submission import RunRequest
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.request.options import OPTIONS

_MAX_WORKERS = 1000
_LONGEST_NAME = 40


def _frameworks(schema: dict[str, Any]) -> None:
    schema.update(position=0, enum=list(known_frameworks()))


def _tiers(schema: dict[str, Any]) -> None:
    """The catalog's tiers, where and when the form is made (``prefect deploy``)."""
    schema["position"] = 1
    with contextlib.suppress(ConfigurationError):
        catalog, _ = catalog_for(os.environ, Path.cwd())
        schema["enum"] = ["default", *(tier.name for tier in catalog.tiers)]


def _next_tiers(schema: dict[str, Any]) -> None:
    """The same tiers, several of which may be chosen."""
    schema["position"] = 2
    with contextlib.suppress(ConfigurationError):
        catalog, _ = catalog_for(os.environ, Path.cwd())
        schema["items"] = {"type": "string", "enum": [tier.name for tier in catalog.tiers]}


def _field(position: int, option: str, description: str, **more: Any) -> Any:
    """One input: its default is that of ``ebb run`` unless ``more`` says otherwise."""
    more.setdefault("default", OPTIONS[option].default)
    extra: dict[str, Any] = {"position": position}
    return Field(description=description, json_schema_extra=extra, **more)


class Cluster(BaseModel):
    """The cluster: what it is made of, and how far it may grow."""

    model_config = ConfigDict(extra="forbid", title="Cluster")

    framework: str = Field(
        default="dask",
        description="Which framework the program uses; none: a plain program without workers",
        json_schema_extra=_frameworks,
    )
    tier: str = Field(
        default="default",
        description="Hardware tier of a worker; `ebb tiers` lists them with price and size",
        json_schema_extra=_tiers,
    )
    next_tiers: list[str] = Field(
        default=[],
        description="Tiers to take, in this order, when the one above cannot be had: out of stock,"
        " quota, no node",
        json_schema_extra=_next_tiers,
    )
    initial_workers: int = _field(
        3,
        "workers",
        "Workers at the start, and the minimum later on",
        default=1,
        ge=1,
        le=_MAX_WORKERS,
    )
    max_workers: int = _field(
        4, "workers", "Maximum number of workers it may grow to", default=4, ge=1, le=_MAX_WORKERS
    )
    target_cpu: int = _field(
        5,
        "target-cpu",
        "Add workers when they use more than this of their CPU, in percent",
        title="Target CPU",
        default=80,
        ge=1,
        le=1000,
    )
    target_memory: int = _field(
        6,
        "target-memory",
        "Add workers when they use more than this of their memory, in percent",
        default=80,
        ge=1,
        le=1000,
    )


class Limits(BaseModel):
    """How long things may take, like 90s, 15m, 2h, and how much there may be of them."""

    model_config = ConfigDict(extra="forbid", title="Limits")

    start_within: str = _field(
        0,
        "start-within",
        "Give up when the program has not started by then",
        examples=["15m", "1h"],
    )
    time_limit: str = _field(
        1, "time-limit", "End the program after this time; none: never", examples=["none", "2h"]
    )
    idle_release: str = _field(
        2, "idle-release", "End the run when it has had no work for this long; never: keep it"
    )
    max_output: str = _field(
        3,
        "max-output",
        "How much of logs (beginning and newest) and artifacts (newest) is kept; none: all",
        examples=["1Gi", "none"],
    )
    max_processes: str = _field(
        4,
        "max-processes",
        "End the run when it has more processes; auto: 1000, or 32 per worker if more; none: never",
        examples=["auto", "5000"],
    )


def request_of(
    program: str, arguments: str, cluster: Any, limits: Any, options: Any, name: str | None
) -> RunRequest:
    """Turn the values of Prefect's form into the request that ``ebb run`` would have made.

    Args:
        program: the file or command, and arguments after it; quoted as in a shell.
        arguments: further arguments of the program, quoted as in a shell.
        cluster: a ``Cluster``, or the mapping that the form sends for one; empty: all defaults.
        limits: a ``Limits``, or the mapping that the form sends for one; empty: all defaults.
        options: further options of ``ebb run`` by name; stronger than those of the form.
        name: the flow run's name; None or empty: a name is generated.

    Returns:
        The request, not checked against the catalog yet.

    Raises:
        ConfigurationError: with everything that is wrong about the form.
    """
    problems: list[Problem] = []
    values = _values(Cluster, cluster, problems) | _values(Limits, limits, problems)
    tiers = _tier_list(values, problems)
    argv = _argv(program, arguments, problems)
    if not isinstance(options or {}, dict):
        problems.append(_problem("options", "it is not an object", 'write {"retry": "never"}'))
    if problems:
        raise ConfigurationError(problems)
    min_workers, max_workers = values.pop("initial_workers"), values.pop("max_workers")
    given = {**values, **tiers, "workers": f"{min_workers}..{max_workers}", **(options or {})}
    return RunRequest(argv=argv, options=given, name=_run_name(name or ""))


def _tier_list(values: dict[str, Any], problems: list[Problem]) -> dict[str, Any]:
    """Take the tiers out of the form's values; what they are as an option."""
    first, others = values.pop("tier"), values.pop("next_tiers")
    if first != "default":
        return {"tier": [first, *others]}
    if others:
        hint = "choose the tier that is to be tried first as well"
        problems.append(_problem("cluster.next_tiers", "there is no tier before them", hint))
    return {}


def _values(model: type[BaseModel], given: Any, problems: list[Problem]) -> dict[str, Any]:
    box = model.__name__.lower()
    if isinstance(given, model):
        return given.model_dump()
    try:
        return model.model_validate(given or {}).model_dump()
    except ValidationError as error:
        for each in error.errors():
            where = ".".join(str(part) for part in (box, *each["loc"]))
            hint = f"{box} has {', '.join(model.model_fields)}"
            problems.append(_problem(where, f"{each['msg']}, not {each['input']!r}", hint))
    return model().model_dump()


def _argv(program: str, arguments: str, problems: list[Problem]) -> tuple[str, ...]:
    try:
        return (*shlex.split(program), *shlex.split(arguments))
    except ValueError:
        hint = "close the quote, or leave it out"
        problems.append(_problem("arguments", "a quote is not closed", hint))
        return ()


def _run_name(flow_run: str) -> str | None:
    """The flow run's own name as far as a run may have it; None: one is made up."""
    plain = re.sub(r"[^a-z0-9]+", "-", flow_run.lower())[:_LONGEST_NAME]
    return plain.strip("-") or None


def _problem(where: str, wrong: str, hint: str) -> Problem:
    return Problem(Reason.OPTION_INVALID, f"{where}: {wrong}", hint)
