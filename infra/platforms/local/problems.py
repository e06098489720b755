"""Why this machine cannot run something; asked before anything is made."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Mapping
from itertools import chain
from pathlib import PurePath

from ebbtide.infra.errors import Problem
from ebbtide.infra.frameworks.base import HeadInfo, load_framework
from ebbtide.infra.frameworks.plan import ClusterPlan, MemberPaths
from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.hardware import VISIBLE_GPUS
from ebbtide.infra.models.ids import ClusterId
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
    visible = {VISIBLE_GPUS} if spec.cluster.pool.devices else set()
    if not spec.cluster.has_workers:
        return _not_to_be_set(spec, visible)
    framework = load_framework(spec.cluster.framework)
    wanted = {**user_environment(environ), **spec.added_env}
    refused = framework.refusals(spec.cluster, spec.job, sys.executable, wanted)
    ours = _set_for_members(spec.cluster) | framework.foreign(spec.added_env) | visible
    return _not_to_be_set(spec, ours) + refused


def _not_to_be_set(spec: RunSpec, ours: set[str]) -> list[Problem]:
    """Variables of ``--env`` that would be lost: the cluster is found, and found again, by them."""
    problems = []
    for name in sorted(ours & set(spec.added_env)):
        summary = f"--env {name} would have no effect: the run sets it, for program and workers"
        hint = f"leave {name} out; where the cluster is and who belongs to it comes from ebb"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    if "PYTHONHOME" in spec.added_env:
        summary = "--env PYTHONHOME would keep the cluster's own Python from starting"
        hint = "name the interpreter instead: ebb run -- /path/to/python program.py"
        problems.append(Problem(Reason.OPTION_INVALID, summary, hint))
    return problems


def _set_for_members(spec: ClusterSpec) -> set[str]:
    """The names of the variables that a framework sets for a driver, a head or a worker."""
    framework, at = load_framework(spec.framework), layout.DRIVER
    nowhere = PurePath("/")
    paths = MemberPaths(
        python=sys.executable,
        framework=nowhere,
        secrets=nowhere,
        scratch=nowhere,
        artifacts=nowhere,
        head_file=nowhere,
    )
    plan = ClusterPlan(cluster=ClusterId("any"), spec=spec, paths=paths)
    head = HeadInfo(address="any://127.0.0.1:1", dashboard="", status_url="", secret="")
    members = (framework.head(plan, at).env, framework.worker(plan, "any", at).env)
    # PYTHONPATH reaches workers in another way: see ClusterPlan.import_path.
    return {*framework.driver_env(plan, at, head), *chain(*members)} - {"PYTHONPATH"}
