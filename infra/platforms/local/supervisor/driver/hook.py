"""How the driver's hook gets into a program of this machine, and the file of its notes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ebbtide.infra.frameworks import bootstrap
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.local.processes import ProcessContext


def notes_file(place: ProcessContext) -> Path:
    """Where a program's hook leaves its notes: each attempt's are its own."""
    return place.logs / f"notes-{place.cluster}.jsonl"


def hook_variables(
    spec: RunSpec, place: ProcessContext, environ: Mapping[str, str]
) -> dict[str, str]:
    """The variables that bring the hook into a program; none where there is no cluster.

    Args:
        spec: of the run.
        place: of the program.
        environ: the program's, without the hook.

    Returns:
        What to add to ``environ``.
    """
    if not spec.cluster.has_workers:
        return {}
    folder = Path(bootstrap.__file__).parent
    return bootstrap.hook_environment(
        environ, spec.cluster.framework, folder, notes_file(place), bridge=spec.bridge
    )
