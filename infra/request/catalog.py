"""What a user may ask for: node pools and hardware tiers, from ebb.yaml or from this machine.

Everything wrong with the file is found in one reading. Does not belong here: what is free at the
moment (the ledger), what one run asks for (``infra.request.spec``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.hardware import HardwareTier, NodePool
from ebbtide.infra.models.keep import Keep, parse_keep
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.ebb_yaml.file import File, read
from ebbtide.infra.request.ebb_yaml.keys import DASK, MODES, PLACE, TOP
from ebbtide.infra.request.ebb_yaml.pools import KUBERNETES, LOCAL, read_pools, with_devices
from ebbtide.infra.request.ebb_yaml.tiers import read_default, read_tiers
from ebbtide.infra.request.gpus import MachineGpus, this_machines_gpus
from ebbtide.infra.request.hints import problem_from
from ebbtide.infra.request.machine import this_machine
from ebbtide.infra.request.options import OPTIONS, merge
from ebbtide.infra.settings import Settings, load_settings

FILE_NAME = "ebb.yaml"


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


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine, as a pool of shares."""

    resources: Resources
    gpus: Callable[[], MachineGpus] = MachineGpus
    """Finds its GPUs, when a tier asks for some."""


def load_catalog(path: Path | None, machine: Machine) -> tuple[Catalog, dict[str, Any]]:
    """Read the catalog, and the options that the file sets for every run.

    Raises:
        ConfigurationError: with everything that is wrong with the file.
    """
    file = File(source=str(path) if path else "this machine")
    return _understood(file, _content(file, path), machine, LOCAL)


def catalog_for(
    environ: Mapping[str, str],
    cwd: Path,
    asked: Mapping[str, Any] | None = None,
    shared: Callable[[str], Shared | None] | None = None,
) -> tuple[Catalog, dict[str, Any]]:
    """Return the pools and tiers in force here, and the options that ebb.yaml sets.

    Args:
        environ: of the person who asks; names the file or its home.
        cwd: the folder in which the file is looked for, and in those above it.
        asked: options that are stronger than the environment's; only ``platform`` counts here.
        shared: finds what an administrator has written down on a platform, for one of which the
            file has no pool; None: nobody is asked.

    Returns:
        The catalog, and the file's options by name.

    Raises:
        ConfigurationError: with all that is wrong in ebb.yaml.
    """
    machine = Machine(this_machine(), partial(this_machines_gpus, environ))
    catalog, options = load_catalog(find_file(cwd, environ), machine)
    platform = platform_in(asked or {}, environ, options)
    if shared is None or any(pool.platform == platform for pool in catalog.pools):
        return catalog, options
    found = shared(platform)
    if found is None:
        return catalog, options
    file = File(source=found.source)
    there, their_options = _understood(file, read(file, found.text), machine, platform)
    return _joined(catalog, there, platform), {**their_options, **options}


def platform_in(
    asked: Mapping[str, Any], environ: Mapping[str, str], file: Mapping[str, Any]
) -> str:
    """Return the platform that a run would have.

    Args:
        asked: the options of the command line or of Python, by name.
        environ: the environment, in which ``EBB_PLATFORM`` is looked for.
        file: the options that ebb.yaml sets.

    Returns:
        Its name as it was written; it need not be known.
    """
    option = OPTIONS["platform"]
    named = asked.get(option.name) or environ.get(option.variable) or file.get(option.name)
    return str(named or option.default).strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A catalog that lies on a platform, for all who use it: written as ebb.yaml is."""

    text: bytes
    source: str
    """Where it lies, for messages."""


def place_in(path: Path | None) -> dict[str, str]:
    """Return the Kubernetes that the file names: ``context`` and ``namespace``, where they are.

    What is wrong with the file is not said here: reading the catalog says it.
    """
    if path is None:
        return {}
    file = File(source=str(path))
    top = file.mapping("", _content(file, path))
    return _place(file, top.get("kubernetes"))


def place_of(environ: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """Return the variables that ebb.yaml sets where the environment does not name a Kubernetes.

    A namespace of the file is one of its own context.

    Args:
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.

    Returns:
        ``EBB_CONTEXT`` and ``EBB_NAMESPACE``, where the file has them and they count.
    """
    written = place_in(find_file(cwd, environ))
    context = environ.get("EBB_CONTEXT")
    if context and context != written.get("context"):
        return {}
    found = {f"EBB_{key.upper()}": text for key, text in written.items()}
    return {name: text for name, text in found.items() if not environ.get(name)}


def settings_here(
    environ: Mapping[str, str], cwd: Path, asked: Mapping[str, Any] | None = None
) -> Settings:
    """Return the settings from the environment, and from ebb.yaml what it says of Kubernetes.

    Args:
        environ: of the person who asks.
        cwd: where ebb.yaml is looked for.
        asked: options of the run that they are for, by name; only ``platform`` counts here.

    Returns:
        The settings; ``Settings.variables`` hands them on to a process.
    """
    platform = platform_in(asked or {}, environ, _run_options(find_file(cwd, environ)))
    return load_settings({**environ, **place_of(environ, cwd), "EBB_PLATFORM": platform})


def _run_options(path: Path | None) -> dict[str, Any]:
    """The options that a file sets for every run, as they are written there."""
    if path is None:
        return {}
    file = File(source=str(path))
    return dict(file.mapping("run", file.mapping("", _content(file, path)).get("run")))


def _place(file: File, value: Any) -> dict[str, str]:
    given = file.mapping("kubernetes", value, PLACE)
    found = {key: file.parsed(f"kubernetes.{key}", given.get(key), str, "") for key in PLACE}
    return {key: text for key, text in found.items() if text}


def _content(file: File, path: Path | None) -> Any:
    if path is None:
        return {}
    try:
        return read(file, path.read_bytes())
    except OSError as error:
        file.add("", f"it cannot be read: {error.strerror}", "check EBB_CONFIG and its rights")
        return {}


def _understood(
    file: File, content: Any, machine: Machine, platform: str
) -> tuple[Catalog, dict[str, Any]]:
    """What the content of a file says; ``platform`` is that of a pool which names none."""
    top = file.mapping("", content, TOP)
    run = file.mapping("run", top.get("run"))
    file.problems += merge({}, {}, file=run)[1]
    pools = read_pools(file, top.get("pools"), machine.resources, platform)
    pools = _with_operator(file, top.get("dask"), pools)
    tiers = read_tiers(file, top.get("tiers"), pools)
    asking = {tier.pool for tier in tiers if tier.resources.gpus}
    pools = with_devices(pools, asking, machine.gpus)
    default_tier = read_default(file, top, "default-tier", tiers)
    default_head = read_default(file, top, "default-head-tier", tiers, otherwise=default_tier)
    keep = _keep(file, top.get("keep"))
    _place(file, top.get("kubernetes"))
    if not file.problems and not default_tier:
        hint = "tiers are made automatically only for a pool of platform local"
        file.add("tiers", "no tier is defined", hint)
    if file.problems:
        raise ConfigurationError(file.problems)
    catalog = Catalog(
        pools=pools,
        tiers=tiers,
        default_tier=default_tier,
        default_head_tier=default_head,
        source=file.source,
        keep=keep,
    )
    return catalog, run


def _joined(here: Catalog, there: Catalog, platform: str) -> Catalog:
    """The pools and tiers of a platform before those from here; of one name, the platform's."""
    pools = [pool for pool in there.pools if pool.platform == platform]
    names = {pool.name for pool in pools}
    tiers = [tier for tier in there.tiers if tier.pool in names]
    known = {tier.name for tier in tiers}
    others = [pool for pool in here.pools if pool.name not in names]
    left = {pool.name for pool in others}
    more = [tier for tier in here.tiers if tier.pool in left and tier.name not in known]
    return replace(
        here,
        pools=(*pools, *others),
        tiers=(*tiers, *more),
        default_tier=there.default_tier,
        default_head_tier=there.default_head_tier,
        source=f"{there.source} and {here.source}",
    )


def _with_operator(file: File, value: Any, pools: tuple[NodePool, ...]) -> tuple[NodePool, ...]:
    """The pools of Kubernetes as ``dask: {mode: operator}`` makes them."""
    given = file.mapping("dask", value, DASK)
    if not file.parsed("dask.mode", given.get("mode"), _is_operator, False):
        return pools
    return tuple(replace(pool, dask_operator=pool.platform == KUBERNETES) for pool in pools)


def _is_operator(text: str) -> bool:
    if text not in MODES:
        raise ValueError(f"{text!r} is no mode; write {' or '.join(MODES)}")
    return text == MODES[1]


def _keep(file: File, value: Any) -> Keep:
    try:
        return parse_keep(file.strings("keep", value, "[30d, 1000 runs]"))
    except ValueError as error:
        file.problems.append(problem_from(Reason.CATALOG_INVALID, f"{file.source}: keep", error))
        return Keep()
