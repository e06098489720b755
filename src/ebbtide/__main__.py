"""The command ``ebb``, also as ``python -m ebbtide``.

Python puts the entries of PYTHONPATH, and with ``-m`` the current folder, before the installed
packages, and a user's folder may hold a module named like one that we need. Hence those leave
``sys.path`` before anything else is imported. The variable itself stays: it is meant for the user's
program. So it is with PYTHONWARNINGS.
"""

import gc
import importlib
import os
import site
import sys
import warnings

_COLLECT_AFTER = 20_000
"""New objects between two looks for garbage: with Python's 700 an import of ours has a hundred."""


def main() -> int:
    """Import the command line from where Ebb is installed, and run it."""
    gc.set_threshold(_COLLECT_AFTER)
    if sys.warnoptions:  # PYTHONWARNINGS is meant for the user's program too
        warnings.resetwarnings()
        warnings.simplefilter("ignore")
    ours = os.path.dirname(os.path.dirname(__file__))
    installed = {os.path.realpath(path) for path in (ours, *_site_folders())}
    given = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    foreign = (given | {os.path.realpath("")}) - installed
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) not in foreign]
    return int(importlib.import_module("ebbtide.flows.cli.main").main() or 0)


def _site_folders() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages()]


if __name__ == "__main__":
    sys.exit(main())
