"""Laptop spellings of Dask in a program of a run: they mean the run's cluster, or are told.

``Client(n_workers=4)`` cannot be had beside a given cluster, so it connects to that. A
LocalCluster, another address and Dask's threaded scheduler can be had, and go past the run's
cluster: they are noted, and with ``--bridge`` they are led to it, whether asked for by name or not.
``scheduler="sync"`` is for debugging, and stays what it is. Runs in the program's own process.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import dask

from ebbtide.infra.frameworks.bootstrap import bridged, note, say


@functools.cache
def _note(what: str) -> None:
    """Once for each: something of the program's own computes beside the run's cluster."""
    note("own-cluster", what=what)


def install_without_client() -> None:
    """Watch which scheduler Dask takes where there is no client; called after ``dask`` is there."""
    dask.base.get_scheduler = _choosing(dask.base.get_scheduler)


def install() -> None:
    """Change what makes clusters and clients; called once the program has imported distributed."""
    from distributed import Client, LocalCluster
    from distributed.deploy.spec import SpecCluster

    Client.__init__ = _connecting(Client.__init__)
    SpecCluster.__init__ = _telling(SpecCluster.__init__)
    if bridged():
        LocalCluster.__new__ = _led_to_the_run


def _connecting(original: Callable[..., None]) -> Callable[..., None]:
    """``Client.__init__`` that connects to the run's cluster wherever a cluster would be made."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        given = signature.bind(self, *args, **kwargs).arguments
        if given.get("name") == "worker" or not _is_for_the_run(given):
            original(self, *args, **kwargs)
            return
        cluster = _cluster(given.get("asynchronous", False), given.get("loop"))
        wanted = given.pop("kwargs", {})
        given.pop("self")
        for name in ("address", "scheduler_file", "security"):
            given.pop(name, None)
        given.pop("loop", None)
        original(self, cluster, **given, **_not_of_a_cluster(wanted))
        self._start_arg = None  # so that the client closes what was made for it

    return __init__


def _is_for_the_run(given: dict[str, Any]) -> bool:
    """Whether a client of these arguments is to be one of the run's cluster; tells what it does."""
    from ebbtide.infra.frameworks.dask.given import EbbCluster, address

    wanted = given.get("address")
    if isinstance(wanted, EbbCluster) or not address():
        return False
    if wanted is None and not given.get("scheduler_file"):
        wanted = dask.config.get("scheduler-address", None) or address()
    if wanted == address():
        _tell_of_arguments(given)
        return True
    if not isinstance(wanted, str | None):
        return False  # a cluster object, which has been told of when it was made
    what = f"Client({wanted or given.get('scheduler_file')!r})"
    _note(what)
    if bridged():
        say(f"{what}: with --bridge it is connected to this run's own cluster")
    return bridged()


def _tell_of_arguments(given: dict[str, Any]) -> None:
    """Say that what was asked for is not what there is, where something was asked for."""
    from ebbtide.infra.frameworks.dask.given import bounds

    asked = {**given.get("kwargs", {})}
    if given.get("security"):
        asked["security"] = given["security"]
    if not asked or _not_of_a_cluster(given.get("kwargs", {})):
        return
    min_workers, max_workers = bounds()
    workers = f"{min_workers}..{max_workers} workers" if max_workers > 1 else "1 worker"
    shown = ", ".join(f"{name}={_brief(value)}" for name, value in asked.items())
    say(f"Client({shown}): this run has a cluster of its own, with {workers}; connected to it")


def _brief(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else "…"


def _not_of_a_cluster(wanted: dict[str, Any]) -> dict[str, Any]:
    """Arguments that a LocalCluster would not take either: Dask says so itself."""
    from distributed import LocalCluster, Nanny, Worker

    known = {
        name
        for kind in (LocalCluster, Nanny, Worker)
        for name in inspect.signature(kind.__init__).parameters
    }
    return {name: value for name, value in wanted.items() if name not in known}


def _cluster(asynchronous: bool, loop: Any) -> Any:
    from ebbtide.infra.frameworks.dask.given import EbbCluster

    return EbbCluster(asynchronous=asynchronous, loop=loop)


def _telling(original: Callable[..., None]) -> Callable[..., None]:
    """``SpecCluster.__init__`` of every cluster that a program makes for itself."""

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        _note(f"a {type(self).__name__}")
        original(self, *args, **kwargs)

    return __init__


def _led_to_the_run(kind: type, *_: Any, **kwargs: Any) -> Any:
    """``LocalCluster.__new__`` with ``--bridge``; a class derived from it stays what it is."""
    from distributed import LocalCluster

    if kind is not LocalCluster:
        return object.__new__(kind)
    say("LocalCluster(): with --bridge it is this run's own cluster")
    return _cluster(kwargs.get("asynchronous", False), kwargs.get("loop"))


def _choosing(original: Callable[..., Any]) -> Callable[..., Any]:
    """``dask.base.get_scheduler`` that tells of schedulers in this process, or replaces them."""
    from dask import multiprocessing, threaded

    @functools.wraps(original)
    def get_scheduler(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if found is threaded.get:
            name = "Dask's threaded scheduler"
        elif found is multiprocessing.get:
            name = "Dask's multiprocessing scheduler"
        else:
            return found
        if not bridged():
            _note(name)
            return found
        say(f"{name}: with --bridge this run's cluster computes instead")
        return _client().get

    return get_scheduler


@functools.cache
def _client() -> Any:
    """The client of a program that makes none."""
    from distributed import Client

    return Client(set_as_default=False)
