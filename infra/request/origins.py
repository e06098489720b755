"""Where the value of each setting comes from: a flag, a variable, a file, or the default.

Does not belong here: judging values (``infra.request.options``), and what was used last
(``infra.files.place``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebbtide.infra.request.catalog import FILE_NAME, Catalog, find_file, place_of
from ebbtide.infra.request.ebb_yaml.file import File, read
from ebbtide.infra.request.option import Option
from ebbtide.infra.request.option_values import as_typed
from ebbtide.infra.request.options import OPTIONS
from ebbtide.infra.settings import load_settings

DEFAULT = "default"
_MACHINE = "this machine"
HIDDEN = "…"
"""In the place of the value of a variable that a program is given: it may be a secret."""


@dataclass(frozen=True, slots=True)
class Origin:
    """One setting: its value as it would be typed, and where that comes from."""

    name: str
    value: str
    source: str


def origins(
    cli: Mapping[str, Any], environ: Mapping[str, str], cwd: Path, found: tuple[Catalog, Any]
) -> list[Origin]:
    """Return every setting that is in force, those of the installation first.

    Args:
        cli: options of the command line, by name; ``context`` and ``namespace`` among them.
        environ: of the person who asks, before anything is filled in.
        cwd: where ebb.yaml is looked for.
        found: the catalog in force, and the options that its file sets.

    Returns:
        The settings, in the order of their tables.
    """
    catalog, in_file = found
    path = find_file(cwd, environ)
    file = str(path or "")
    return [
        *_of_installation(cli, environ, cwd, file),
        *_of_catalog(catalog, path),
        *(_of_option(option, cli, environ, (in_file, file)) for option in OPTIONS.values()),
    ]


def _of_installation(
    cli: Mapping[str, Any], environ: Mapping[str, str], cwd: Path, file: str
) -> list[Origin]:
    settings = load_settings(environ)
    named = "variable EBB_CONFIG" if environ.get("EBB_CONFIG") else "found" if file else DEFAULT
    written = place_of(environ, cwd)
    found = [Origin("file", file or "none", named)]
    for name, value in (
        ("EBB_HOME", str(settings.home)),
        ("EBB_PREFECT_SERVER", "on" if settings.prefect_server else "off"),
        ("EBB_CONTEXT", settings.context),
        ("EBB_NAMESPACE", settings.namespace),
    ):
        flag = name.removeprefix("EBB_").lower()
        here = f"variable {name}" if environ.get(name) else file if name in written else DEFAULT
        here = f"flag --{flag}" if cli.get(flag) else here
        found.append(Origin(name, cli.get(flag) or value or written.get(name, ""), here))
    return found


def _of_catalog(catalog: Catalog, path: Path | None) -> list[Origin]:
    """Of pools, tiers and what else stands at the top of the file."""
    content = read(File(source=FILE_NAME), path.read_bytes()) if path else {}
    top = {str(key).replace("_", "-") for key, value in (content or {}).items() if value}

    def source(key: str, otherwise: str = DEFAULT) -> str:
        return str(path) if key in top else otherwise

    pools, tiers = source("pools", _MACHINE), source("tiers", _MACHINE)
    return [
        *(Origin(f"pools.{p.name}", f"{p.platform} · {p.capacity}", pools) for p in catalog.pools),
        *(Origin(f"tiers.{t.name}", f"{t.shape} · pool {t.pool}", tiers) for t in catalog.tiers),
        Origin("default-tier", catalog.default_tier, source("default-tier")),
        Origin("default-head-tier", catalog.default_head_tier, source("default-head-tier")),
        Origin("keep", str(catalog.keep) or "everything", source("keep")),
    ]


def _of_option(
    option: Option,
    cli: Mapping[str, Any],
    environ: Mapping[str, str],
    in_file: tuple[Mapping[str, Any], str],
) -> Origin:
    """One option of runs; of one that is added up, all sources, the strongest first."""
    written = {str(name).replace("_", "-"): value for name, value in in_file[0].items()}
    given = (
        (cli.get(option.name), f"flag {option.flag}"),
        (environ.get(option.variable) or None, f"variable {option.variable}"),
        (written.get(option.name), in_file[1]),
    )
    found = [
        (_shown(option, value, source), source) for value, source in given if value is not None
    ]
    if not found:
        return Origin(option.name, option.default or "", DEFAULT)
    counts = found if option.repeatable else found[:1]
    values, sources = zip(*counts, strict=True)
    return Origin(option.name, " ".join(values), ", ".join(sources))


def _shown(option: Option, value: Any, source: str) -> str:
    if option.name != "env":
        if isinstance(value, Mapping):
            value = [f"{name}={text}" for name, text in value.items()]
        parts = value if isinstance(value, list) and option.repeatable else [value]
        return " ".join(as_typed(part, option.separator) for part in parts)
    try:  # as they are read, so that no part of a value counts as a name
        texts = option.texts(value, shell=source.startswith("variable "))
    except ValueError:
        return HIDDEN
    return " ".join(f"{text.partition('=')[0]}={HIDDEN}" for text in texts)
