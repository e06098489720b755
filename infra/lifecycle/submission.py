"""From what a person typed to a checked spec. Shared by the front door, the API and the flow.

Everything here happens before anything is made, and must be quick.
"""

from __future__ import annotations

import secrets
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.base import WITHOUT_CLUSTER, known_frameworks, load_framework
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.base import known_platforms, load_platform
from ebbtide.infra.platforms.extras import catalog_on
from ebbtide.infra.request.catalog import settings_here
from ebbtide.infra.request.spec import RequestContext, build_run_spec

HELLO_DEFAULTS = {"scale-down-window": "10s", "workers": "1..4"}
"""The built-in job must show one growth and one shrink in half a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What was typed."""

    argv: tuple[str, ...] | None
    """The program and its arguments; None for a cluster without a program."""
    options: Mapping[str, Any] = field(default_factory=dict)
    name: str | None = None
    import_path: tuple[str, ...] = ()
    """Without a program: where the session finds modules of its own, see ``own_modules``."""


def own_modules(path: Sequence[str], installed: Iterable[str]) -> tuple[str, ...]:
    """The folders of an import path that are the user's, made absolute.

    Args:
        path: as ``sys.path``; an empty entry is the current folder.
        installed: folders below which everything is installed, for workers as well.

    Returns:
        Those that exist, in order.
    """
    below = [Path(folder).resolve() for folder in installed]
    folders = [Path(entry).absolute() for entry in path]
    own = [
        folder
        for folder in folders
        if folder.is_dir() and not any(folder.resolve().is_relative_to(each) for each in below)
    ]
    return tuple(dict.fromkeys(str(folder) for folder in own))


def session_request(options: Mapping[str, Any]) -> RunRequest:
    """For a cluster that this Python process drives: its workers find the same modules."""
    environment = [sys.prefix] if sys.prefix != sys.base_prefix else []
    ours = str(Path(__file__).parents[3])
    installed = [*sysconfig.get_paths().values(), *site.getsitepackages(), *environment, ours]
    return RunRequest(argv=None, options=options, import_path=own_modules(sys.path, installed))


def spec_for(request: RunRequest, environ: Mapping[str, str], cwd: Path) -> RunSpec:
    """Make the checked spec of a request, under the name that was asked for.

    That may be taken: ``records.runs.begin`` numbers on, as only it can without a race.

    Args:
        request: the program and its options.
        environ: variables that may set options, and name ebb.yaml.
        cwd: relative paths start here, and ebb.yaml is looked for here.

    Returns:
        The spec; nothing has been made or written down.

    Raises:
        ConfigurationError: with everything that is wrong, at once.
    """
    options = dict(request.options)
    catalog, file_options = catalog_on(environ, cwd, options)
    if request.name:
        options.setdefault("name", request.name)
    hello = request.argv == ("hello",)
    ask = RequestContext(
        argv=request.argv,
        cli=options,
        environ=environ,
        cwd=cwd,
        catalog=catalog,
        file_options=file_options,
        frameworks=known_frameworks(),
        installed=_problems_of,
        platforms=known_platforms(),
        hello_argv=_hello(options, environ, file_options) if hello else (),
        hello_defaults=HELLO_DEFAULTS if hello else {},
        random=Random(secrets.randbits(64)),
        import_path=request.import_path,
    )
    spec = build_run_spec(ask)
    platform = load_platform(spec.platform, settings_here(environ, cwd))
    found = (platform.problems(each, environ) for each in spec.tiers_in_turn)
    problems = list(dict.fromkeys(problem for problems in found for problem in problems))
    if problems:
        raise ConfigurationError(problems)
    return spec


def _problems_of(framework: str) -> list[Problem]:
    if framework == WITHOUT_CLUSTER:
        return []
    return load_framework(framework).problems(sys.executable)


def _hello(
    options: Mapping[str, Any], environ: Mapping[str, str], file_options: Mapping[str, Any]
) -> tuple[str, ...]:
    """The built-in job of the framework that will be used; Dask's when that name is wrong."""
    named = options.get("framework") or environ.get("EBB_FRAMEWORK")
    wanted = str(named or file_options.get("framework") or "dask")
    known = wanted in known_frameworks() and wanted != WITHOUT_CLUSTER
    return load_framework(wanted if known else "dask").hello(sys.executable)
