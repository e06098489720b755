"""Why this machine cannot run something; asked before anything is made."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.local import layout
from ebbtide.infra.processes.environment import user_environment
from ebbtide.infra.processes.identity import started_ticks


def machine_problems() -> list[Problem]:
    """What this machine lacks that every cluster needs."""
    found = []
    if started_ticks(os.getpid()) == 0:
        hint = "mount /proc; without it nothing can be proved to be gone"
        found.append(Problem(Reason.PLATFORM_UNUSABLE, "/proc cannot be read", hint))
    try:
        with socket.socket() as probe:
            probe.bind((layout.HEAD.bind, 0))
    except OSError as error:
        summary = f"no server can listen on loopback: {error.strerror or error}"
        found.append(Problem(Reason.PLATFORM_UNUSABLE, summary, "bring up the interface lo"))
    return found


def framework_problems(spec: RunSpec, environ: Mapping[str, str]) -> list[Problem]:
    """Why the framework that is installed beside us cannot serve the run.

    ``environ`` is that of the process that asks, with the user's in it.
    """
    if not spec.cluster.has_workers:
        return []
    framework = load_framework(spec.cluster.framework)
    wanted = {**user_environment(environ), **(spec.job.env if spec.job else {})}
    return framework.refusals(spec.cluster, spec.job, sys.executable, wanted)
