"""Frozen dataclasses to JSON and back, so that specs and views can be written down.

The values of this package are small and closed (dataclasses, tuples, dicts, enums, None); a general
library would bring a second way to declare them.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import types
import typing
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def to_json(value: Any) -> str:
    """One line of JSON for a dataclass of this package."""
    return json.dumps(to_data(value), separators=(",", ":"), ensure_ascii=False)


def to_data(value: Any) -> Any:
    """Dictionaries, lists and scalars for a dataclass of this package."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_data(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: to_data(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    return value.value if isinstance(value, enum.Enum) else value


def from_json(cls: type[T], text: str) -> T:
    """The dataclass that ``to_json`` wrote. Unknown keys are ignored, missing ones defaulted."""
    return typing.cast(T, _build(cls, json.loads(text)))


def from_data(cls: type[T], data: Any) -> T:
    """The dataclass that ``to_data`` took apart."""
    return typing.cast(T, _build(cls, data))


@cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _build(kind: Any, data: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if data is None:
            return None
        inner = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return _build(inner[0], data)
    if origin is tuple:
        return tuple(_build(typing.get_args(kind)[0], item) for item in data)
    if origin is dict:
        value_kind = typing.get_args(kind)[1]
        return {key: _build(value_kind, item) for key, item in data.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        known = {f.name for f in dataclasses.fields(kind)} & data.keys()
        return kind(**{name: _build(hints[name], data[name]) for name in known})
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    return data
