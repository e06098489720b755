"""The GPUs of this machine, as NVIDIA's management library (NVML) knows them.

They are looked for only where a tier of this machine asks for some: nothing else that ebb does
waits for the library. Does not belong here: who gets which (the ledger, admission).
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ebbtide.infra.models.hardware import VISIBLE_GPUS


class NoGpusError(Exception):
    """There are none, or they cannot be found; its text is a clause that says why."""


@dataclass(frozen=True, slots=True)
class MachineGpus:
    """What was found."""

    devices: tuple[str, ...] = ()
    """The UUIDs of those that this process may use."""
    missing: str = ""
    """Why there are none, as a clause; empty where there are some."""


def this_machines_gpus(environ: Mapping[str, str]) -> MachineGpus:
    """Find the GPUs that this process may use; ``environ`` is that of the person who asks."""
    try:
        found = ask_nvml()
    except NoGpusError as error:
        return MachineGpus(missing=str(error))
    if not found:
        return MachineGpus(missing="NVML finds none")
    allowed = environ.get(VISIBLE_GPUS)
    devices = found if allowed is None else _allowed(found, allowed)
    return MachineGpus(
        devices, "" if devices else f"{VISIBLE_GPUS}={allowed} allows none of {len(found)}"
    )


def ask_nvml() -> tuple[str, ...]:
    """Return the UUIDs of all GPUs of this machine, in the order of their numbers.

    Raises:
        NoGpusError: the library, its Python package or NVIDIA's driver is not here.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        text = 'nvidia-ml-py is not installed, which finds them: pip install "ebbtide[gpu]"'
        raise NoGpusError(text) from None
    try:
        nvml.nvmlInit()
        try:
            handles = map(nvml.nvmlDeviceGetHandleByIndex, range(nvml.nvmlDeviceGetCount()))
            return tuple(str(nvml.nvmlDeviceGetUUID(handle)) for handle in handles)
        finally:
            nvml.nvmlShutdown()
    except nvml.NVMLError as error:
        raise NoGpusError(f"NVML says: {error}") from error


def _allowed(found: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Those that are named, up to the first that is not there, as CUDA reads it."""
    devices: list[str] = []
    for name in (part.strip() for part in text.split(",")):
        if name.isdecimal():
            named = list(found[int(name) : int(name) + 1])
        else:
            named = [device for device in found if name and device.startswith(name)]
        if len(named) != 1 or named[0] in devices:
            break
        devices += named
    return tuple(devices)
