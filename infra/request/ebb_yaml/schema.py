"""The JSON Schema of ``ebb.yaml``, made from the tables of its keys and of the options of a run.

An editor shows it while one types. It says less than reading the file does: what keys mean
together, and how amounts are spelled, is told by the commands that read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ebbtide.infra.request.ebb_yaml.keys import DASK, MODES, NODES, PLACE, POOL, TIER, TOP
from ebbtide.infra.request.ebb_yaml.pools import PLATFORMS
from ebbtide.infra.request.option import Option
from ebbtide.infra.request.options import OPTIONS

FILE_NAME = ".ebb.schema.json"
"""How the file is called that ``ebb init`` lays beside an ebb.yaml."""
MODELINE = f"# yaml-language-server: $schema={FILE_NAME}"
"""The line of a YAML file by which editors find its schema."""

_Schema = dict[str, Any]
_SCALAR: _Schema = {"type": ["string", "number", "boolean"]}
_SWITCH: _Schema = {"enum": [True, False, "yes", "no", "on", "off"]}
_COUNT: _Schema = {"type": "integer", "minimum": 1}
_FROM_ZERO: _Schema = {"type": "integer", "minimum": 0}
_LIST: _Schema = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
_BY_NAME: _Schema = {"type": "object", "additionalProperties": _SCALAR}
_AMOUNT: _Schema = {"type": ["string", "number"]}
_DURATION: _Schema = {"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h|d))+$"}
_SHAPES: Mapping[str, _Schema] = {
    "platform": {"enum": list(PLATFORMS)},
    "mode": {"enum": list(MODES)},
    "nodes": {"type": ["integer", "string"], "pattern": r"^\d+(\.\.\d+)?$"},
    **dict.fromkeys(("cpu", "memory", "node-cpu", "node-memory"), _AMOUNT),
    **dict.fromkeys(("runs-per-owner", "runs-waiting", "runs-at-once"), _COUNT),
    **dict.fromkeys(("gpus", "node-gpus", "warm"), _FROM_ZERO),
    **dict.fromkeys(("node-within", "pull-within", "spot-notice", "drain-budget"), _DURATION),
    **dict.fromkeys(("taints", "spot-taints", "frameworks", "keep"), _LIST),
    "spot": _SWITCH,
    "images": _BY_NAME,
    "price-per-hour": {"type": "number", "minimum": 0},
}
"""By key: what may be written there; any text for a key that is not here."""


def schema() -> _Schema:
    """Return the schema, as JSON Schema 2020-12."""
    parts = {
        "pools": _named(_keys({**POOL, **NODES})),
        "tiers": _named({**_keys(TIER), "required": ["cpu", "memory"]}),
        "run": _closed({name: _of_option(option) for name, option in OPTIONS.items()}),
        "kubernetes": _keys(PLACE),
        "dask": _keys(DASK),
    }
    found = _keys(TOP)
    for name, part in parts.items():
        found["properties"][name] = {**part, "description": TOP[name]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ebb.yaml",
        **found,
    }


def _keys(told: Mapping[str, str]) -> _Schema:
    return _closed(
        {key: {**_SHAPES.get(key, _SCALAR), "description": text} for key, text in told.items()}
    )


def _closed(properties: _Schema) -> _Schema:
    """An object that has these keys and no others; a key without a value is as if left out."""
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _named(each: _Schema) -> _Schema:
    return {"type": ["object", "null"], "additionalProperties": each}


def _of_option(option: Option) -> _Schema:
    several = option.repeatable or option.separator
    shape = _SWITCH if option.switch else _LIST if several else _SCALAR
    if option.repeatable and not option.separator:
        shape = {"anyOf": [*_LIST["anyOf"], _BY_NAME]}
    default = {} if option.default is None else {"default": option.default}
    return {**shape, "description": option.help, **default}
