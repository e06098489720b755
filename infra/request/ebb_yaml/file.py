"""The file ``ebb.yaml`` while it is read: all that is wrong with it is found in one reading.

Does not belong here: what the keys mean (``pools``, ``tiers``), where the file is (``catalog``).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.request.hints import did_you_mean, problem_from


@dataclass(slots=True)
class File:
    """The file while it is read: collects what is wrong instead of stopping at it."""

    source: str
    """How it is called in messages."""
    problems: list[Problem] = field(default_factory=list)

    def add(self, where: str, text: str, hint: str = "") -> None:
        """Note something that is wrong.

        Args:
            where: the key or line; empty: the file as a whole.
            text: what is wrong.
            hint: what to do.
        """
        place = f"{self.source}: {where}" if where else self.source
        self.problems.append(Problem(Reason.CATALOG_INVALID, f"{place}: {text}", hint))

    def mapping(
        self, where: str, value: Any, known: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return a mapping, with dashes in keys of ours; an unknown key is a problem.

        Args:
            where: the key it is the value of.
            value: what is written there.
            known: the keys it may have; None: any, they are the user's names.

        Returns:
            Its keys that have a value; all of them where any may be there.
        """
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.add(where, "it must be a list of NAME: value pairs", "write it like NAME: value")
            return {}
        if known is None:
            if None in value or "" in value:
                self.add(where, "a name is empty", "write it like NAME: value")
            return {str(key): item for key, item in value.items()}
        keys = {str(key).replace("_", "-"): item for key, item in value.items()}
        for key in [key for key in keys if key not in known]:
            hint = did_you_mean(key, known, otherwise=f"known here: {', '.join(known)}")
            self.add(where, f"the key {key} is unknown", hint)
        return {key: item for key, item in keys.items() if item is not None}

    def parsed(self, where: str, value: Any, parse: Callable[[str], Any], default: Any) -> Any:
        """Return the parsed value, or the default when it is missing or bad.

        Args:
            where: the key it is the value of.
            value: what is written there.
            parse: raises a ValueError ``what is wrong; what to write``.
            default: what counts instead.

        Returns:
            What ``parse`` makes of it.
        """
        if value is None:
            return default
        try:
            if isinstance(value, (dict, list)):
                raise ValueError("it holds several values; write a single one")
            return parse(str(value))
        except ValueError as error:
            place = f"{self.source}: {where}"
            self.problems.append(problem_from(Reason.CATALOG_INVALID, place, error))
            return default

    def strings(self, where: str, value: Any, like: str) -> tuple[str, ...]:
        """Return the texts of a list, or of one text with commas between them.

        Args:
            where: the key it is the value of.
            value: what is written there.
            like: how to write it.

        Returns:
            Those that are not empty.
        """
        if isinstance(value, dict):
            self.add(where, "it must be a list", f"write it like {like}")
            return ()
        names = value if isinstance(value, list) else str(value or "").split(",")
        return tuple(text for name in names if (text := str(name).strip()))

    def needed(self, where: str, value: Any, parse: Callable[[str], int], like: str) -> int:
        """The value; 1 when it is missing or bad, so that reading can go on.

        Args:
            where: the key it is the value of.
            value: what is written there.
            parse: as for ``parsed``.
            like: how to write it.

        Returns:
            A number.
        """
        if value is None:
            self.add(where, "it is missing", f"write it like {like}")
        return int(self.parsed(where, value, parse, 1))


_TextLoader: type[yaml.SafeLoader] = type(
    "_TextLoader",
    (getattr(yaml, "CSafeLoader", yaml.SafeLoader),),
    {
        "__doc__": "Leaves scalars as typed (``no``, ``0123``, ``1.10``); knows null and merges.",
        "yaml_implicit_resolvers": {
            first: kept
            for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
            if (kept := [r for r in resolvers if r[0].rpartition(":")[2] in ("null", "merge")])
        },
    },
)


def read(file: File, content: bytes) -> Any:
    """Return what the content says; None when it is no YAML, and then the problem is noted."""
    try:
        loader = _TextLoader(content.decode("utf-8-sig"))
        try:
            root = loader.get_single_node()
            if root is None:
                return None
            for where, line, first in _twice(root):
                file.add(f"line {line}", f"{where} is written twice", f"see also line {first}")
            return loader.construct_document(root)
        finally:
            loader.dispose()
    except UnicodeDecodeError as error:
        file.add("", f"it is not UTF-8 (byte {error.start})", "save it as UTF-8")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        file.add(place, f"it is not YAML: {error.problem}", "correct that line")
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        file.add("", f"it is not YAML: {str(error).splitlines()[0]}")
    return None


def _twice(root: yaml.Node) -> Iterator[tuple[str, int, int]]:
    """Yield keys written twice in one mapping, with both lines; YAML would drop the first."""
    todo, seen = [("", root)], set()
    while todo:
        where, node = todo.pop()
        if not isinstance(node, yaml.MappingNode) or id(node) in seen:
            continue
        seen.add(id(node))
        first: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            place = f"{where}.{name}".lstrip(".")
            if first.setdefault(name, line) != line:
                yield place, line, first[name]
            todo.append((place, value))
