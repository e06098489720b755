"""Modules of a program, or of a session, for the tasks that it sends to a cluster that is held.

The workers of such a cluster began before anybody knew the code. So a client tells the scheduler
of its package when it connects; scheduler and workers fetch it, new workers as they join. A process
of Python has one module of a name: of several clients with different ones the last to connect has
its own, as with Dask's ``upload_file``.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import DEVNULL, PIPE
from types import ModuleType
from typing import Any

from distributed.diagnostics.plugin import SchedulerPlugin, WorkerPlugin
from distributed.protocol.pickle import dumps

from ebbtide.infra.frameworks.bootstrap import say
from ebbtide.infra.frameworks.plan import TaskModules, fetching_environment, task_modules_of

NAME = "ebb-modules"
_numbers: dict[str, int] = {}
"""Folders that this process imports from, each with how late it came."""


class OnWorkers(WorkerPlugin):
    """Brings one package to each worker."""

    idempotent = False

    def __init__(self, modules: TaskModules, number: int):
        self.modules, self.number = modules, number
        self.name = f"{NAME}-{modules.name}"

    async def setup(self, worker: Any) -> None:
        """Dask's call, also in a worker that joins later: its tasks wait for this."""
        del worker
        await bring(self.modules, self.number)


class Users(SchedulerPlugin):
    """In the scheduler: which clients have which package."""

    def __init__(self, scheduler: Any):
        self._scheduler, self._count = scheduler, 0
        self._of: dict[str, TaskModules] = {}
        self._gone: dict[str, TaskModules] = {}

    async def use(self, client: str, modules: TaskModules) -> list[str]:
        """Bring a client's package to scheduler and workers.

        Args:
            client: its id.
            modules: the package.

        Returns:
            Which workers have not got it, and why.

        Raises:
            OSError: the scheduler has not got it.
        """
        self._count += 1
        await bring(modules, self._count)
        self._of.pop(client, None)
        self._of[client] = modules  # the last to come is the last in there
        plugin = OnWorkers(modules, self._count)
        answers = await self._scheduler.register_worker_plugin(
            None, dumps(plugin), plugin.name, idempotent=False
        )
        failed = {where: said for where, said in answers.items() if said["status"] == "error"}
        return [f"{where}: {said['exception_text']}" for where, said in failed.items()]

    def add_client(self, scheduler: Any, client: str) -> None:
        """Dask's call; one that lost its connection is known."""
        modules = self._gone.pop(client, None)
        if modules is not None:
            scheduler._ongoing_background_tasks.call_soon(self.use, client, modules)

    def remove_client(self, scheduler: Any, client: str) -> None:
        """Dask's call; workers that come later need not have what nobody uses any more.

        After the last to come, the one before has its own modules again.
        """
        if client not in self._of:
            return
        was_last = client == next(reversed(self._of))
        modules = self._gone[client] = self._of.pop(client)
        if modules not in self._of.values():
            scheduler.worker_plugins.pop(OnWorkers(modules, 0).name, None)
        if was_last and self._of:
            before, its = next(reversed(self._of.items()))
            scheduler._ongoing_background_tasks.call_soon(self.use, before, its)


async def use(client: str, modules: TaskModules, dask_scheduler: Any) -> list[str]:
    """Run in the scheduler, see ``Users.use``.

    Args:
        client: the id of a client.
        modules: its package.
        dask_scheduler: given by Dask.

    Returns:
        Which workers have not got it, and why.
    """
    if NAME not in dask_scheduler.plugins:
        dask_scheduler.add_plugin(Users(dask_scheduler), name=NAME)
    found: list[str] = await dask_scheduler.plugins[NAME].use(client, modules)
    return found


async def tell(client: Any, environ: Mapping[str, str] = os.environ) -> None:
    """Tell the scheduler of the package that a client's process has; what is wrong is said.

    Args:
        client: which has connected.
        environ: says which package it is; without one nothing is done.
    """
    modules = task_modules_of(environ)
    if modules is None:
        return
    try:
        failed = await client._run_on_scheduler(use, client.id, modules)
    except Exception as error:  # whatever it is: tasks without modules of their own work
        failed = [str(error)]
    for why in failed:
        say(f"tasks may not find modules that lie beside this program: {why}")


def telling(original: Callable[..., Any], is_ours: Callable[[Any], bool]) -> Callable[..., Any]:
    """Make ``Client._start`` tell of the package before the client is used.

    Args:
        original: that method.
        is_ours: whether a client is one of the run's cluster.

    Returns:
        What takes its place.
    """

    @functools.wraps(original)
    async def _start(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = await original(self, *args, **kwargs)
        if is_ours(self) and self.status == "running":
            await tell(self)
        return found

    return _start


async def bring(modules: TaskModules, number: int) -> None:
    """Fetch a package into this process's pod and import from it.

    Args:
        modules: the package.
        number: how late it came: a later one is imported from first.

    Raises:
        OSError: it could not be fetched.
    """
    environ = fetching_environment(os.environ)
    fetching = await asyncio.create_subprocess_exec(
        *modules.argv, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE, env=environ
    )
    _, said = await fetching.communicate()
    if fetching.returncode:
        raise OSError(said.decode(errors="replace").strip() or f"exit code {fetching.returncode}")
    import_from(modules, number)


def import_from(modules: TaskModules, number: int) -> None:
    """Let this process find the modules of a package before those of others, also loaded ones.

    Args:
        modules: the package.
        number: how late it came.
    """
    others = set(_numbers) - set(modules.folders)
    _numbers.update(dict.fromkeys(modules.folders, number))
    first = sorted(_numbers, key=lambda folder: -_numbers[folder])
    sys.path[:] = [*first, *(folder for folder in sys.path if folder not in _numbers)]
    for name, module in tuple(sys.modules.items()):
        top = name.partition(".")[0]
        if _lies_in(module, others) and any(_has(folder, top) for folder in modules.folders):
            del sys.modules[name]
    importlib.invalidate_caches()


def _lies_in(module: ModuleType, folders: set[str]) -> bool:
    places = [getattr(module, "__file__", None), *(getattr(module, "__path__", None) or ())]
    return any(
        place is not None and Path(place).is_relative_to(folder)
        for place in places
        for folder in folders
    )


def _has(folder: str, name: str) -> bool:
    return Path(folder, name).is_dir() or Path(folder, f"{name}.py").is_file()
