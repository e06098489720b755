"""Budgets: what fits a head. 400 lines a module, 50 a function, 12 modules a folder, no cycle."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping

from tests.architecture.sources import ROOT, Function, Module, imported, modules, modules_under

MODULE_LINES = 400
FUNCTION_LINES = 50
FOLDER_MODULES = 12
PARAMETERS = 6

# A framework's own package may import it where it is used: ``infra.frameworks.dask.…``.
_OWN_PACKAGE_PARTS = 4
# Registries name what they load, and load it when asked for.
_REGISTRIES = (
    "ebbtide.infra.frameworks.base",
    "ebbtide.infra.frameworks.bootstrap",  # in the program: it imports ours where that is there
    "ebbtide.infra.frameworks.dask",  # its own package, only when a client is asked for
    "ebbtide.infra.frameworks.ray",
    "ebbtide.infra.frameworks.spark",
    "ebbtide.infra.loading",  # for those that its import contract names
    "ebbtide.infra.notebook",  # papermill, in the process of a program that is a notebook
    "ebbtide.infra.request.gpus",  # NVML, where a tier of this machine asks for GPUs
    "ebbtide.flows.cli",
    "ebbtide.flows.sessions",  # Prefect's side, only inside a flow
    "ebbtide.flows.programs",  # run by their path like a user's; Dask only where there is a cluster
    "ebbtide.flows.flow_process",  # Prefect reads the environment when imported
    "ebbtide.flows.detached.__main__",  # the same
)


def test_there_is_a_house_to_measure() -> None:
    assert {"ebbtide.infra.errors", "ebbtide.infra.models.phases"} <= {
        module.name for module in modules()
    }


def test_no_file_is_longer_than_its_budget() -> None:
    files = [*modules(), *modules_under("tests", "benchmarks", "examples")]
    assert _too_much({file.name: file.lines for file in files}, MODULE_LINES) == {}


def test_no_folder_has_more_modules_than_its_budget() -> None:
    folders = Counter(module.path.parent for module in modules() if not module.is_package)
    sizes = {str(folder.relative_to(ROOT)): count for folder, count in folders.items()}
    assert _too_much(sizes, FOLDER_MODULES) == {}


def test_no_function_is_longer_than_its_budget() -> None:
    lengths = {
        f"{module.name}.{function.name}:{function.lineno}": _length(function)
        for module in modules()
        for function in module.functions()
    }
    assert _too_much(lengths, FUNCTION_LINES) == {}


def test_no_function_takes_more_parameters_than_its_budget() -> None:
    counts = {
        f"{module.name}.{function.name}:{function.lineno}": _parameters(function)
        for module in modules()
        for function in module.functions()
    }
    assert _too_much(counts, PARAMETERS) == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert [" <-> ".join(cycle) for cycle in _cycles(_graph(modules()))] == []


def test_no_module_imports_inside_a_function() -> None:
    found = [
        f"{module.name}:{line} imports {name}"
        for module in modules()
        if not _is_own_package(module)
        for function in module.functions()
        for line, name in imported(module, function)
    ]
    assert found == []


def test_only_registries_import_by_name() -> None:
    found = [
        f"{module.name}:{node.lineno}"
        for module in modules()
        if not module.name.startswith(_REGISTRIES)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("importlib.import_module", "import_module", "__import__")
    ]
    assert found == []


def _too_much(sizes: Mapping[str, int], most: int) -> dict[str, int]:
    return {name: size for name, size in sizes.items() if size > most}


def _length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def _parameters(function: Function) -> int:
    """Those a caller can name or place, without self and cls, ``*args`` and ``**kwargs``."""
    args = function.args
    names = [arg.arg for arg in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))


def _is_own_package(module: Module) -> bool:
    parts = module.name.split(".")
    in_folder = module.is_package or len(parts) > _OWN_PACKAGE_PARTS
    return (
        parts[:3] == ["ebbtide", "infra", "frameworks"]
        and len(parts) >= _OWN_PACKAGE_PARTS
        and in_folder
    )


def _graph(found: Iterable[Module]) -> dict[str, set[str]]:
    """Who imports whom; importing ``a.b.c`` runs ``a`` and ``a.b`` too, unless they run already."""
    found = list(found)
    names = {module.name for module in found}
    graph: dict[str, set[str]] = {}
    for module in found:
        running = set(_with_parents(module.name))
        wanted = {part for _, name in module.imports() for part in _with_parents(name)}
        graph[module.name] = (wanted & names) - running
    return graph


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _cycles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Groups of modules that reach each other."""
    reach = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in reach[name] if name in reach[other]))
        for name in graph
        if name in reach[name]
    }
    return [list(group) for group in sorted(groups)]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    todo = list(graph[start])
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += graph[name]
    return seen
