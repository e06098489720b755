"""Only the store of runs knows how it keeps them."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.architecture.sources import Module, modules

_REAPER = "ebbtide.infra.platforms.kubernetes.administration.reaping"
"""In a pod, whose own ledger has the registrations of no process."""
_ROOM = "ebbtide.infra.records"
_VALUES = (
    # A backup of this machine's files is made by those who know them.
    f"{_ROOM}.sqlite.files.copy_database",
    f"{_ROOM}.sqlite.files.count_runs",
    f"{_ROOM}.sqlite.files.end_what_went_on",
    f"{_ROOM}.sqlite.schema.VERSION",
)
_STORES = (f"{_ROOM}.ledger", f"{_ROOM}.salvage", f"{_ROOM}.sqlite")
_SQL = re.compile(
    r"\b(SELECT\s.+\sFROM|SELECT 1|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA \w)",
    re.DOTALL,
)


def test_only_the_records_have_sql() -> None:
    found = [f"{module.name}:{line}" for module in _others() for line in _sql(module)]
    assert found == []


def test_the_records_have_sql_that_is_found() -> None:
    rooms = {module.name for module in modules() if any(_sql(module))}
    assert {f"{_ROOM}.sqlite.runs", f"{_ROOM}.sqlite.shares"} <= rooms


def test_only_the_records_know_sqlite_and_its_rows() -> None:
    """What leaves them is a typed value, whose fields mypy knows."""
    found = [
        f"{module.name}:{line}"
        for module in _others()
        for line, name in (*module.imports(), *_subscripts(module))
        if name == "sqlite3" or name.startswith("row['")
    ]
    assert found == []


def test_only_its_own_platform_knows_which_store_it_is() -> None:
    """All others have a ``RunStore``, so that another one needs no change of theirs."""
    may = (_ROOM, "ebbtide.infra.platforms.local", "ebbtide.flows.cli.preparing", _REAPER)
    found = [
        f"{module.name}:{line}"
        for module in modules()
        if not module.name.startswith(may)
        for line, name in module.imports()
        if name.startswith(_STORES) and name not in _VALUES
    ]
    assert found == []


def _subscripts(module: Module) -> Iterator[tuple[int, str]]:
    nodes = (node for node in ast.walk(module.tree) if isinstance(node, ast.Subscript))
    return ((node.lineno, ast.unparse(node)) for node in nodes)


def _others() -> Iterator[Module]:
    return (module for module in modules() if not module.name.startswith(_ROOM))


def _sql(module: Module) -> Iterator[int]:
    """Lines with SQL in a string, also in one put together."""
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if _SQL.search(node.value):
            yield node.lineno
