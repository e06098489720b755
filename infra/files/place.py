"""Which Kubernetes was used last: ``EBB_HOME/kubernetes.json``.

So that ``ebb ps`` in another shell finds the runs that an ``ebb run --context …`` has begun.
Does not belong here: credentials (the kubeconfig has them), asking the Kubernetes anything.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import MutableMapping
from dataclasses import asdict, dataclass
from pathlib import Path

from ebbtide.infra.files.private import write_whole
from ebbtide.infra.settings import Settings

_PLATFORM = "kubernetes"


@dataclass(frozen=True, slots=True, kw_only=True)
class KubernetesPlace:
    """A namespace of a Kubernetes, as kubectl names it; an empty field: as kubectl would choose."""

    context: str = ""
    namespace: str = ""
    kubeconfig: str = ""
    """As ``KUBECONFIG``."""

    def fill_in(self, environ: MutableMapping[str, str]) -> None:
        """Set the variables of an environment that has nothing to say about it."""
        found = {
            "EBB_CONTEXT": self.context,
            "EBB_NAMESPACE": self.namespace,
            "KUBECONFIG": self.kubeconfig,
        }
        if not any(environ.get(name) for name in ("EBB_CONTEXT", "EBB_NAMESPACE")):
            for name, text in found.items():
                if text and not environ.get(name):
                    environ[name] = text


def remember_place(settings: Settings, place: KubernetesPlace) -> None:
    """Write down that this is in use now. On a full disk nothing is written."""
    if remembered_place(settings) != place:
        with contextlib.suppress(OSError):
            write_whole(place_file(settings), json.dumps(asdict(place)))


def remembered_place(settings: Settings) -> KubernetesPlace | None:
    """Return what was used last; None when no Kubernetes ever was."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        return KubernetesPlace(**json.loads(place_file(settings).read_text()))
    return None


def place_in_use(settings: Settings) -> KubernetesPlace | None:
    """Return what the settings say, or what was used last; None: nobody uses a Kubernetes here.

    Where runs go to Kubernetes that say nothing else, it is in use before the first of them.
    """
    if settings.context or settings.namespace:
        return KubernetesPlace(
            context=settings.context,
            namespace=settings.namespace,
            kubeconfig=settings.kubeconfig,
        )
    found = remembered_place(settings)
    if found is None and settings.platform == _PLATFORM:
        return KubernetesPlace(kubeconfig=settings.kubeconfig)
    return found


def place_file(settings: Settings) -> Path:
    """Return the file that says which Kubernetes was used last; without it none was."""
    return settings.home / "kubernetes.json"
