"""Which Kubernetes a command means: that of a flag, a variable, ebb.yaml, or the last one used."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any

from ebbtide.infra.files.place import remembered_place
from ebbtide.infra.request.catalog import place_of
from ebbtide.infra.settings import load_settings

PLACE = {
    "context": (
        "EBB_CONTEXT",
        "which Kubernetes: a context of the kubeconfig; else its current one",
    ),
    "namespace": ("EBB_NAMESPACE", "namespace of that Kubernetes; else the context's own"),
}
"""Settings of the installation that have a flag: its variable, and its help."""


def use_place(
    flags: Mapping[str, Any], environ: MutableMapping[str, str], cwd: Path, *, remembered: bool
) -> None:
    """Set the variables that say which Kubernetes is meant, so that processes of ours inherit them.

    Flags win over the environment, that over ebb.yaml, that over what was used last.

    Args:
        flags: values of options by name; those of ``PLACE`` are looked for.
        environ: of this process, which is changed.
        cwd: where ebb.yaml is looked for.
        remembered: whether what was used last counts: for commands that look at what is there.
    """
    environ.update({variable: flags[n] for n, (variable, _) in PLACE.items() if flags.get(n)})
    environ.update(place_of(environ, cwd))
    context, namespace = (variable for variable, _ in PLACE.values())
    place = remembered_place(load_settings(environ)) if remembered else None
    if place is not None and not environ.get(context) and not environ.get(namespace):
        place.fill_in(environ)
