"""What of Dask's configuration is the run's, whatever files and variables of the user's say.

A cluster's life, its addresses and who belongs to it are the run's: ``OURS``, set in head and
workers when they start, and ``DRIVER``, variables of the program. What the user has set of anything
else wins over our defaults, in all of them. Does not import Dask.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ebbtide.infra.errors import Problem
from ebbtide.infra.models.phases import Reason

ADDRESS = "DASK_SCHEDULER_ADDRESS"
"""Where the scheduler is: ``distributed.Client()`` without arguments reads it."""
WORKERS = "EBB_CLUSTER_WORKERS"
"""How many workers the run may have: ``1..4``."""
FILES = "DASK_CONFIG"
"""A file or a folder of configuration, which the user names."""

_TLS = "distributed.comm.tls"
OURS: dict[str, Any] = {
    # Life.
    "distributed.scheduler.idle-timeout": None,
    "distributed.worker.lifetime.duration": None,
    "distributed.worker.lifetime.stagger": "0 seconds",
    "distributed.worker.lifetime.restart": False,
    "distributed.admin.pdb-on-err": False,  # a debugger that nobody is there to answer
    # Addresses, and how one talks there.
    "distributed.scheduler.contact-address": None,
    "distributed.scheduler.dashboard.tls.ca-file": None,
    "distributed.scheduler.dashboard.tls.cert": None,
    "distributed.scheduler.dashboard.tls.key": None,
    "distributed.comm.default-scheme": "tcp",
    "distributed.comm.require-encryption": True,
    f"{_TLS}.ciphers": None,
    f"{_TLS}.min-version": 1.2,
    f"{_TLS}.max-version": None,
    "distributed.client.security-loader": None,
}
DEFAULTS: dict[str, Any] = {
    # Dask spills and pauses at 60, 70 and 80 %, before a target of 80 % can be seen.
    "distributed": {
        "worker": {"memory": {"target": 0.85, "spill": 0.90, "pause": 0.95, "terminate": False}}
    }
}
"""In the place of Dask's own defaults, in workers."""
MIN_WORKER_TTL_S = 300
"""Dask's default; a leftover that is shorter would remove workers that are only busy."""

_SECTIONS = ("DISTRIBUTED", "DISTRIBUTED__COMM", "DISTRIBUTED__COMM__TLS")
_ROLES = ("SCHEDULER", "WORKER", "CLIENT")


def variable(key: str) -> str:
    """The variable by which Dask reads one key of its configuration."""
    return "DASK_" + key.upper().replace(".", "__").replace("-", "_")


DRIVER: dict[str, str] = {
    variable(key): str(OURS[key])
    for key in (
        f"{_TLS}.ciphers",
        f"{_TLS}.min-version",
        f"{_TLS}.max-version",
        "distributed.client.security-loader",
    )
}
"""For a program, which may well have a cluster of its own beside the run's."""


def tls(certificate: str, key: str) -> dict[str, str]:
    """Variables by which a head, a worker or a program finds the cluster's keys.

    Args:
        certificate: its path, which is that of the authority as well.
        key: its path.

    Returns:
        The variables.
    """
    env = {variable(f"{_TLS}.ca-file"): certificate}
    for role in _ROLES:
        env[variable(f"{_TLS}.{role}.cert")] = certificate
        env[variable(f"{_TLS}.{role}.key")] = key
    return env


def refused(
    environ: Mapping[str, str], added: Mapping[str, str], python: str, workdir: str
) -> list[Problem]:
    """Find configuration of the user's with which no member could start or be found.

    Args:
        environ: the user's, with ``--env`` on top.
        added: what ``--env`` adds.
        python: the path of the interpreter of head and workers.
        workdir: where the program runs.

    Returns:
        One problem for each file and variable.
    """
    files = [each for each in map(_malformed, _files(environ, python, workdir)) if each]
    return [*files, *_replacing(environ), *_without_effect(added)]


def _replacing(environ: Mapping[str, str]) -> Iterator[Problem]:
    """Variables that stand for a whole section, and take the place of what is set below it."""
    roles = (f"{_SECTIONS[-1]}__{role}" for role in _ROLES)
    for name in (f"DASK_{section}" for section in (*_SECTIONS, *roles)):
        if name in environ:
            summary = f"{name} replaces a whole section of Dask's configuration, with its keys"
            hint = f"set the keys that you mean one by one, such as {name}__KEY, and unset {name}"
            yield Problem(Reason.OPTION_INVALID, summary, hint)


def _without_effect(added: Mapping[str, str]) -> Iterator[Problem]:
    for name in sorted(set(added) & {variable(key) for key in OURS} - set(DRIVER)):
        summary = f"--env {name} would have no effect: the life of a run's cluster is the run's"
        hint = f"leave {name} out; --idle-release and --time-limit end a run"
        yield Problem(Reason.OPTION_INVALID, summary, hint)


def _files(environ: Mapping[str, str], python: str, workdir: str) -> Iterator[Path]:
    """Where Dask looks, in its order."""
    home = environ.get("HOME")
    named = environ.get(FILES)
    folders = [
        Path(environ.get("DASK_ROOT_CONFIG", "/etc/dask")),
        Path(os.path.abspath(python)).parent.parent / "etc" / "dask",
        *([Path(home, ".config", "dask")] if home else []),
        *([Path(workdir, named)] if named else []),
    ]
    for folder in dict.fromkeys(folders):
        try:
            if folder.is_dir():
                kinds = (".json", ".yaml", ".yml")
                yield from sorted(f for f in folder.iterdir() if f.suffix.lower() in kinds)
            elif folder.exists():
                yield folder
        except OSError:  # Dask leaves out what it may not read
            continue


def _malformed(file: Path) -> Problem | None:
    try:
        found = yaml.safe_load(file.read_text())
    except OSError:
        return None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        what = f"{line}{error.problem}"
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        what = " ".join(str(error).split())
    else:
        if found is None or isinstance(found, dict):
            return None
        what = f"it holds a {type(found).__name__} and no keys"
    summary = f"Dask's configuration in {file} is malformed: {what}"
    hint = f"mend or remove {file}; every process with Dask in it reads what is there"
    return Problem(Reason.OPTION_INVALID, summary, hint)
