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
from typing import TYPE_CHECKING, Any

import dask

from ebbtide.infra.frameworks.bootstrap import bridged, note, say

if TYPE_CHECKING:
    from ebbtide.infra.frameworks.dask.given import Given

_OF_THE_RUN = ("self", "address", "scheduler_file", "security", "loop", "kwargs")
"""Arguments of a client that its cluster decides."""


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

    from ebbtide.infra.frameworks.dask import modules

    Client.__init__ = _connecting(Client.__init__)
    Client._start = modules.telling(Client._start, _is_of_the_run)
    SpecCluster.__init__ = _telling(SpecCluster.__init__)
    if bridged():
        LocalCluster.__new__ = _led_to_the_run


def _connecting(original: Callable[..., None]) -> Callable[..., None]:
    """``Client.__init__`` that connects to the run's cluster wherever a cluster would be made."""
    signature = inspect.signature(original)

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        asked = signature.bind(self, *args, **kwargs).arguments
        if asked.get("name") == "worker" or not _is_for_the_run(asked):
            original(self, *args, **kwargs)
            return
        cluster = _cluster(asked)
        unknown = _not_of_a_cluster(asked.get("kwargs", {}))
        kept = {name: value for name, value in asked.items() if name not in _OF_THE_RUN}
        original(self, cluster, **kept, **unknown)
        self._start_arg = None  # so that the client closes what was made for it

    return __init__


def _is_of_the_run(client: Any) -> bool:
    from ebbtide.infra.frameworks.dask.given import EbbCluster

    return isinstance(client.cluster, EbbCluster)


def _is_for_the_run(asked: dict[str, Any]) -> bool:
    """Whether a client of these arguments is to be one of the run's cluster; tells what it does."""
    from ebbtide.infra.frameworks.dask.given import EbbCluster, given

    run, wanted = given(), asked.get("address")
    if run is None or isinstance(wanted, EbbCluster):
        return False
    if wanted is None and not asked.get("scheduler_file"):
        wanted = dask.config.get("scheduler-address", None) or run.address
    if wanted == run.address:
        _tell_of_arguments(asked, run)
        return True
    if not isinstance(wanted, str | None):
        return False  # a cluster object, which has been told of when it was made
    what = f"Client({wanted or asked.get('scheduler_file')!r})"
    _note(what)
    if bridged():
        say(f"{what}: with --bridge it is connected to this run's own cluster")
    return bridged()


def _tell_of_arguments(asked: dict[str, Any], run: Given) -> None:
    """Say that what was asked for is not what there is, where something was asked for."""
    wanted = {**asked.get("kwargs", {})}
    if asked.get("security"):
        wanted["security"] = asked["security"]
    if not wanted or _not_of_a_cluster(asked.get("kwargs", {})):
        return
    several = run.max_workers > 1
    workers = f"{run.min_workers}..{run.max_workers} workers" if several else "1 worker"
    shown = ", ".join(f"{name}={_brief(value)}" for name, value in wanted.items())
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


def _cluster(asked: dict[str, Any]) -> Any:
    """The run's cluster, for a client or in the place of a LocalCluster."""
    from ebbtide.infra.frameworks.dask.given import EbbCluster, given

    run = given()
    assert run is not None
    return EbbCluster(run, asynchronous=asked.get("asynchronous", False), loop=asked.get("loop"))


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
    return _cluster(kwargs)


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
