"""What a shell may complete where a name is wanted: runs, tiers, pools, frameworks, platforms.

Nobody but this machine is asked, and nothing is made, so that a key pressed costs no way to a
Kubernetes. The records are only read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from ebbtide.infra.errors import EbbError
from ebbtide.infra.records.opening import names_here
from ebbtide.infra.request.catalog import catalog_for
from ebbtide.infra.settings import load_settings

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem[str]]]
"""What click asks for the values of an option or argument that begin with what is there."""
Names = Callable[[], Iterable[str]]


def runs() -> Iterable[str]:
    """Return the names of runs, the newest first."""
    with contextlib.suppress(EbbError):
        return names_here(load_settings())
    return ()


def tiers() -> Iterable[str]:
    """Return the names of tiers of this machine, or of the ebb.yaml that is in force."""
    with contextlib.suppress(EbbError):
        return [tier.name for tier in catalog_for(os.environ, Path.cwd())[0].tiers]
    return ()


def pools() -> Iterable[str]:
    """Return the names of pools of this machine, or of the ebb.yaml that is in force."""
    with contextlib.suppress(EbbError):
        return [pool.name for pool in catalog_for(os.environ, Path.cwd())[0].pools]
    return ()


def one_of(names: Names) -> Completer:
    """Complete one name."""
    return lambda _ctx, _param, begun: _items(names(), begun)


def several_of(names: Names) -> Completer:
    """Complete names with commas between them: ``gpu,hu`` becomes ``gpu,huge``."""

    def complete(_ctx: Any, _param: Any, begun: str) -> list[CompletionItem[str]]:
        before, comma, _ = begun.rpartition(",")
        others = [name for name in names() if name not in before.split(",")]
        return _items((f"{before}{comma}{name}" for name in others), begun)

    return complete


def folder(_ctx: Any, _param: Any, begun: str) -> list[CompletionItem[str]]:
    """Let the shell complete a folder. With ``click.Path`` click would judge it too.

    Args:
        _ctx: of the command.
        _param: the option or argument.
        begun: what there is of the folder's path.

    Returns:
        One item, by which click's scripts know that a folder is wanted.
    """
    return [CompletionItem(begun, type="dir")]


def built_in_or_file(built_in: str) -> Completer:
    """Complete a program: the built-in job where it may be meant, else the shell finds a file."""

    def complete(
        ctx: click.Context, param: click.Parameter, begun: str
    ) -> list[CompletionItem[str]]:
        file = CompletionItem(begun, type="file")
        first = not ctx.params.get(param.name or "")
        return [file, *(_items([built_in], begun) if first else ())]

    return complete


def _items(names: Iterable[str], begun: str) -> list[CompletionItem[str]]:
    return [CompletionItem(name) for name in names if name.startswith(begun)]
