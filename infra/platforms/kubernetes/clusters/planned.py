"""What ``ebb run --plan -o yaml`` prints: every object of a cluster, and nothing is made."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes.clusters.blueprint import Blueprint
from ebbtide.infra.platforms.kubernetes.clusters.packaging import is_in_image
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.shipping.package import pack
from ebbtide.infra.platforms.kubernetes.shipping.program import translate
from ebbtide.infra.settings import Settings

_APPLIED = """Objects of run {run}: kubectl apply -f makes them, kubectl delete -f takes them away.
They are not the Lease's, which has no uid yet. Nobody renews that Lease: the reaper, or any ebb
command that releases what has lost its owner, takes away what is there {lease_s:.0f}s later.
The Secret holds keys made for this output, and the values of --secret: keep it private."""
_WAITS = "The driver waits for its code, package {digest}, which only ebb run sends."


def plan_objects(
    settings: Settings, spec: RunSpec, environ: Mapping[str, str] = os.environ
) -> tuple[list[Object], str]:
    """Draw everything that a run's first cluster would be.

    Args:
        settings: of this installation; which namespace it is.
        spec: of the run.
        environ: where the values of its secrets are.

    Returns:
        The objects in the order in which they are made, and what to know about them.

    Raises:
        ConfigurationError: there are no credentials; or there is more code than may be sent.
    """
    digest, cluster = _digest(settings, spec), ClusterId(f"{spec.name}-1")
    namespace = connected(settings).namespace
    blueprint = Blueprint.of(spec, cluster, namespace, digest, environ)
    things = blueprint.objects()
    if blueprint.framework is not None:
        things.append(blueprint.autoscaler())
    if spec.job is not None:
        things.append(blueprint.driver(told_to_begin=False))
    told = _APPLIED.format(run=spec.name, lease_s=spec.lease_s)
    return things, "\n".join((told, _WAITS.format(digest=digest[:12]))) if digest else told


def _digest(settings: Settings, spec: RunSpec) -> str:
    """Of the code that would be sent; empty when an image has all."""
    if spec.job is None or is_in_image(spec.job):
        return ""
    root = Path(spec.job.workdir)
    script = translate(spec.job, root).script
    needed = (script,) if script else ()
    with tempfile.TemporaryDirectory() as folder:
        return pack(root, Path(folder), never=(settings.home,), needed=needed).digest
