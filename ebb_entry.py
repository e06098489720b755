"""Where the command ``ebb`` begins, under a name that no user's folder has.

``flows``, ``tasks`` and ``infra`` are words that a user's folder may use as well. Python puts the
entries of PYTHONPATH before the installed packages, so with ``PYTHONPATH=.`` the user's ``flows``
would be ours. Hence those entries and the current folder leave ``sys.path`` before anything of ours
is imported. The variable itself stays: it is meant for the user's program.
"""

import importlib
import os
import site
import sys


def main() -> int:
    """Import the command line from where Ebb is installed, and run it."""
    installed = {os.path.realpath(path) for path in (os.path.dirname(__file__), *_site_folders())}
    given = {os.path.realpath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    foreign = (given | {os.path.realpath("")}) - installed
    sys.path[:] = [path for path in sys.path if os.path.realpath(path) not in foreign]
    return int(importlib.import_module("flows.cli.main").main() or 0)


def _site_folders() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages()]
