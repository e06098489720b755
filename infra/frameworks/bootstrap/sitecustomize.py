"""Runs at the start of a Python that a run's program is: first on its PYTHONPATH.

It undoes itself: the folder it is found in is gone from ``sys.path`` and from the environment that
children get, and the user's own ``sitecustomize`` runs as it would have. What stays is one finder
that waits for the framework's package (``_HOOKS``). Standard library only, and little of that: it
runs before every program, also in a Python that has no ebbtide, where it must do nothing.
"""

import os
import sys

TYPE_CHECKING = False  # typing's own takes longer to import than all of this
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

_HOOK = "EBB_HOOK"
"""The framework of the program's cluster; set beside the PYTHONPATH and taken away here."""

_HOOKS: "dict[str, dict[str, tuple[str, ...]]]" = {
    "dask": {
        "dask": ("driver.install_without_client",),
        "distributed": ("driver.install", "unfinished.watch"),
    },
    "ray": {"ray": ("driver.install", "unfinished.watch")},
    "spark": {"pyspark": ("driver.install", "unfinished.watch")},
}
"""Framework, package of it, and the functions in ``ebbtide.infra.frameworks.<framework>`` that are
called once the program has imported that package; one that is not there is not called. Dask's
first is called while ``distributed``, which imports ``dask``, may be only half there."""


class _Finder:
    """First of ``sys.meta_path``: finds a package as the others do, and is told when it is there.

    The loader stays the package's own; only for this one import its ``exec_module`` is another.
    """

    def __init__(self, framework: str):
        self._framework = framework
        self._waits_for = dict(_HOOKS.get(framework, {}))
        self._pid = os.getpid()

    def find_spec(
        self,
        name: str,
        path: "Sequence[str] | None" = None,
        target: "ModuleType | None" = None,
    ) -> "ModuleSpec | None":
        """Find the spec of a package that is waited for; None for all others.

        Args:
            name: of the module that is looked for.
            path: where its parent package looks for modules; None for one without a parent.
            target: the module that is loaded again; None for another.

        Returns:
            What the next finder that knows the module says.
        """
        if name not in self._waits_for or os.getpid() != self._pid:  # a fork is no driver
            return None
        for finder in sys.meta_path:
            found = None if finder is self else finder.find_spec(name, path, target)
            if found is not None:
                self._follow(name, found.loader)
                return found
        return None

    def _follow(self, name: str, loader: "Any") -> None:
        """Be told when this loader has made the package."""
        load = getattr(loader, "exec_module", None)
        if load is None:
            return

        def exec_module(module: "ModuleType") -> None:
            load(module)
            if module.__name__ == name and self._waits_for.get(name):
                loader.__dict__.pop("exec_module", None)
                for function in self._waits_for.pop(name):
                    self._call(*function.split("."))

        try:
            loader.exec_module = exec_module
        except AttributeError:  # one that takes none, as that of frozen modules
            del self._waits_for[name]

    def _call(self, module: str, function: str) -> None:
        """Call a function of ours; whatever is wrong with it is not the program's."""
        base = "ebbtide.infra.frameworks"
        try:
            note = getattr(_module(base + ".bootstrap"), "note")  # noqa: B009
        except Exception:  # no ebbtide in this Python, or another one
            return
        try:
            ours = _module(base + "." + self._framework + "." + module)
            getattr(ours, function, lambda: None)()
        except Exception as error:
            note("hook-failed", what=repr(error))


def _module(name: str) -> "ModuleType":
    __import__(name)
    return sys.modules[name]


def _leave_no_trace() -> None:
    """Take our folder out of where this program and its children look for modules."""
    ours = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [folder for folder in sys.path if folder != ours]
    sys.path_importer_cache.pop(ours, None)
    given = os.environ.pop("PYTHONPATH", "").split(os.pathsep)
    left = os.pathsep.join(folder for folder in given if folder != ours)
    if left:
        os.environ["PYTHONPATH"] = left


if __name__ == "sitecustomize":  # else a tool only looks at it
    _leave_no_trace()
    sys.meta_path.insert(0, _Finder(os.environ.pop(_HOOK, "")))
    # The user's, in our place. When there is none its ModuleNotFoundError goes on: Python's site
    # takes it for what it is, and the program finds no module of this name, as without us.
    del sys.modules["sitecustomize"]
    __import__("sitecustomize")
