"""What a user may ask for: node pools and hardware tiers, from ebb.yaml or from this machine.

Everything wrong with the file is found in one reading. Does not belong here: what is free at the
moment (the ledger), what one run asks for (``infra.request.spec``).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.keep import Keep, parse_keep
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources, parse_cpu, parse_duration_s, parse_memory
from ebbtide.infra.request.hints import did_you_mean, problem_from
from ebbtide.infra.request.machine import this_machine
from ebbtide.infra.request.options import merge

FILE_NAME = "ebb.yaml"
PLATFORMS = ("local", "kubernetes")
MEMORY_SHARE = 0.8
"""Of this machine's memory; the rest is the system's and the user's."""

_MIB = 2**20
_WAITING_BYTES, _MIN_WAITING = 256 * _MIB, 10
"""Of the machine's memory for each run that may wait: its processes are there while it does."""
_TOP_KEYS = ("pools", "tiers", "default-tier", "default-head-tier", "run", "keep")
_POOL_KEYS = ("platform", "cpu", "memory", "runs-per-owner", "runs-waiting")
_TIER_KEYS = (
    "cpu", "memory", "pool", "price-per-hour", "frameworks", "drain-budget", "runs-at-once",
)  # fmt: skip
_DERIVED = {"small": (8, 1000), "medium": (4, 2000), "large": (2, 8000)}
"""By tier: the divisor of the pool's cores, and the maximum in thousandths of a core."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """All pools and tiers of this installation."""

    pools: tuple[NodePool, ...]
    tiers: tuple[HardwareTier, ...]
    default_tier: str
    default_head_tier: str
    source: str
    """The file it was read from, or ``this machine``."""
    keep: Keep = field(default_factory=Keep)
    """How much of what has ended is kept; everything unless the file says it."""

    def pool(self, name: str) -> NodePool:
        """The pool of this name; every tier's pool is there.

        Raises:
            KeyError: when there is none.
        """
        return {pool.name: pool for pool in self.pools}[name]

    def tier(self, name: str) -> HardwareTier | None:
        """Return the tier of this name; None when there is none."""
        return next((tier for tier in self.tiers if tier.name == name), None)

    def platform_of(self, tier: HardwareTier) -> str:
        """Return the platform of the tier's pool."""
        return self.pool(tier.pool).platform


def find_file(cwd: Path, environ: Mapping[str, str]) -> Path | None:
    """Return the catalog file in use: the one ``EBB_CONFIG`` names, this folder's, or the user's.

    A file that ``EBB_CONFIG`` names is returned also when it is missing: loading it says so.
    """
    if named := environ.get("EBB_CONFIG"):
        return cwd / Path(named).expanduser()
    config = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME") or "~", ".config")
    places = (cwd / FILE_NAME, Path(config).expanduser() / "ebb" / FILE_NAME)
    return next((place for place in places if place.is_file()), None)


def load_catalog(path: Path | None, machine: Resources) -> tuple[Catalog, dict[str, Any]]:
    """Read the catalog, and the options that the file sets for every run.

    Raises:
        ConfigurationError: with everything that is wrong with the file.
    """
    file = _File(source=str(path) if path else "this machine")
    top = file.mapping("", _read(path, file) if path else {}, _TOP_KEYS)
    run = file.mapping("run", top.get("run"))
    file.problems += merge({}, {}, file=run)[1]
    pools = _pools(file, top.get("pools"), machine)
    tiers = _tiers(file, top.get("tiers"), pools)
    default_tier = _default(file, top, "default-tier", tiers)
    default_head_tier = _default(file, top, "default-head-tier", tiers, otherwise=default_tier)
    keep = _keep(file, top.get("keep"))
    if not file.problems and not default_tier:
        hint = "tiers are made automatically only for a pool of platform local"
        file.add("tiers", "no tier is defined", hint)
    if file.problems:
        raise ConfigurationError(file.problems)
    catalog = Catalog(
        pools=pools,
        tiers=tiers,
        default_tier=default_tier,
        default_head_tier=default_head_tier,
        source=file.source,
        keep=keep,
    )
    return catalog, run


def catalog_for(environ: Mapping[str, str], cwd: Path) -> tuple[Catalog, dict[str, Any]]:
    """Return the pools and tiers in force here, and the options that ebb.yaml sets.

    Args:
        environ: of the person who asks; names the file or its home.
        cwd: the folder in which the file is looked for, and in those above it.

    Returns:
        The catalog, and the file's options by name.

    Raises:
        ConfigurationError: with all that is wrong in ebb.yaml.
    """
    return load_catalog(find_file(cwd, environ), this_machine())


def derive_tiers(pool: NodePool) -> tuple[HardwareTier, ...]:
    """Return small, medium and large shares of a pool, for when the file names no tier."""
    return tuple(
        HardwareTier(name=name, pool=pool.name, resources=_share(pool.capacity, part, max_millis))
        for name, (part, max_millis) in _DERIVED.items()
    )


@dataclass(slots=True)
class _File:
    """The file while it is read: collects what is wrong instead of stopping at it."""

    source: str
    problems: list[Problem] = field(default_factory=list)

    def add(self, where: str, text: str, hint: str = "") -> None:
        place = f"{self.source}: {where}" if where else self.source
        self.problems.append(Problem(Reason.CATALOG_INVALID, f"{place}: {text}", hint))

    def mapping(
        self, where: str, value: Any, known: Collection[str] | None = None
    ) -> dict[str, Any]:
        """Return a mapping, with dashes in keys of ours; an unknown key is a problem."""
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
        """Return the parsed value, or the default when it is missing or bad."""
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

    def needed(self, where: str, value: Any, parse: Callable[[str], int], like: str) -> int:
        """The value; 1 when it is missing or bad, so that reading can go on."""
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


def _read(path: Path, file: _File) -> Any:
    """Return the file's content; None when it cannot be read, and then the problem is noted."""
    try:
        loader = _TextLoader(path.read_bytes().decode("utf-8-sig"))
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
    except OSError as error:
        file.add("", f"it cannot be read: {error.strerror}", "check EBB_CONFIG and its rights")
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


def _pools(file: _File, value: Any, machine: Resources) -> tuple[NodePool, ...]:
    share = Resources(machine.cpu_millis, math.floor(machine.memory_bytes * MEMORY_SHARE))
    pools = file.mapping("pools", value) or {"local": None}
    return tuple(_pool(file, name, body, share) for name, body in pools.items())


def _pool(file: _File, name: str, body: Any, share: Resources) -> NodePool:
    where = f"pools.{name}"
    keys = file.mapping(where, body, _POOL_KEYS)
    platform = file.parsed(f"{where}.platform", keys.get("platform"), _platform, "local")
    waiting = None
    if platform == "local":
        waiting = max(_MIN_WAITING, share.memory_bytes // _WAITING_BYTES)
        keys = {"cpu": f"{share.cpu_millis}m", "memory": share.memory_bytes, **keys}
    cpu = file.needed(f"{where}.cpu", keys.get("cpu"), parse_cpu, "cpu: 8")
    memory = file.needed(f"{where}.memory", keys.get("memory"), parse_memory, "memory: 32Gi")
    return NodePool(
        name=name,
        platform=platform,
        capacity=Resources(cpu, memory),
        runs_per_owner=file.parsed(
            f"{where}.runs-per-owner", keys.get("runs-per-owner"), _count, None
        ),
        runs_waiting=file.parsed(
            f"{where}.runs-waiting", keys.get("runs-waiting"), _count, waiting
        ),
    )


def _tiers(file: _File, value: Any, pools: tuple[NodePool, ...]) -> tuple[HardwareTier, ...]:
    written = file.mapping("tiers", value)
    if written:
        return tuple(_tier(file, name, body, pools) for name, body in written.items())
    local = next((pool for pool in pools if pool.platform == "local"), None)
    return derive_tiers(local) if local else ()


def _tier(file: _File, name: str, body: Any, pools: tuple[NodePool, ...]) -> HardwareTier:
    where = f"tiers.{name}"
    keys = file.mapping(where, body, _TIER_KEYS)
    cpu = file.needed(f"{where}.cpu", keys.get("cpu"), parse_cpu, "cpu: 1")
    memory = file.needed(f"{where}.memory", keys.get("memory"), parse_memory, "memory: 4Gi")
    return HardwareTier(
        name=name,
        pool=_pool_of(file, f"{where}.pool", keys.get("pool"), [pool.name for pool in pools]),
        resources=Resources(cpu, memory),
        price_per_hour=file.parsed(
            f"{where}.price-per-hour", keys.get("price-per-hour"), _price, 0.0
        ),
        frameworks=_names(file, f"{where}.frameworks", keys.get("frameworks")),
        drain_budget_s=file.parsed(
            f"{where}.drain-budget", keys.get("drain-budget"), parse_duration_s, 600.0
        ),
        runs_at_once=file.parsed(f"{where}.runs-at-once", keys.get("runs-at-once"), _count, None),
    )


def _pool_of(file: _File, where: str, value: Any, names: list[str]) -> str:
    """Return the named pool, or the only one there is."""
    listed = f"pools: {', '.join(names)}"
    if value is None and len(names) > 1:
        file.add(where, "it is missing, and there are several pools", listed)
    elif value is not None and str(value) not in names:
        hint = did_you_mean(str(value), names, otherwise=listed)
        file.add(where, f"no pool is named {value!s}", hint)
    return str(value) if value is not None else names[0]


def _names(file: _File, where: str, value: Any, like: str = "[dask]") -> tuple[str, ...]:
    if isinstance(value, dict):
        file.add(where, "it must be a list", f"write it like {like}")
        return ()
    names = value if isinstance(value, list) else str(value or "").split(",")
    return tuple(text for name in names if (text := str(name).strip()))


def _keep(file: _File, value: Any) -> Keep:
    try:
        return parse_keep(_names(file, "keep", value, "[30d, 1000 runs]"))
    except ValueError as error:
        file.problems.append(problem_from(Reason.CATALOG_INVALID, f"{file.source}: keep", error))
        return Keep()


def _default(
    file: _File,
    top: Mapping[str, Any],
    key: str,
    tiers: tuple[HardwareTier, ...],
    *,
    otherwise: str = "",
) -> str:
    """Return the tier the key names; without it small, or ``otherwise``, or the first."""
    names = [tier.name for tier in tiers]
    asked = top.get(key)
    if asked is None:
        return "small" if "small" in names else otherwise or next(iter(names), "")
    if str(asked) not in names:
        hint = did_you_mean(str(asked), names, otherwise=f"tiers: {', '.join(names)}")
        file.add(key, f"no tier is named {asked!s}", hint)
    return str(asked)


def _platform(text: str) -> str:
    if text not in PLATFORMS:
        hint = did_you_mean(text, PLATFORMS, otherwise=f"platforms: {', '.join(PLATFORMS)}")
        raise ValueError(f"no platform is named {text}; {hint}")
    return text


def _count(text: str) -> int:
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(f"{text!r} is not a number of runs; write 1 or more, or leave it out")
    return int(text)


def _price(text: str) -> float:
    try:
        price = float(text)
    except ValueError:
        price = -1.0
    if not 0 <= price < math.inf:
        raise ValueError(f"{text!r} is not a price; write a number like 0.25") from None
    return price


def _share(whole: Resources, part: int, max_millis: int) -> Resources:
    """Return a part of a pool: cores in steps of 50m, memory in proportion in steps of 64Mi."""
    cpu = min(whole.cpu_millis // part, max_millis) // 50 * 50
    cpu = max(cpu, min(50, whole.cpu_millis))
    step = 64 * _MIB
    memory = whole.memory_bytes * cpu // whole.cpu_millis // step * step
    return Resources(cpu, max(memory, min(256 * _MIB, whole.memory_bytes)))
