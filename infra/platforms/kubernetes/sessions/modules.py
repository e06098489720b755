"""Modules of a Python session for the tasks of its client: its folder is packed and sent."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ebbtide.infra.errors import EbbError
from ebbtide.infra.frameworks.bootstrap import say
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.packaging import scratch_folder
from ebbtide.infra.platforms.kubernetes.manifests.shipment import Shipment, task_modules
from ebbtide.infra.platforms.kubernetes.shipping.package import pack
from ebbtide.infra.platforms.kubernetes.shipping.program import session_import_path
from ebbtide.infra.platforms.kubernetes.shipping.sending import send

_NOT_SENT = "tasks of {run} cannot import modules of {root}, which is not sent to workers: {why}"


def send_modules(
    api: Api, spec: RunSpec, cluster: ClusterId, head: str, home: Path
) -> Mapping[str, str]:
    """Send the session's folder to a cluster, unless it cannot be sent, which is said.

    Args:
        api: of the namespace.
        spec: of the run.
        cluster: its id.
        head: the pod with the package store.
        home: of this installation, which is never in it.

    Returns:
        Variables that tell a client of it; none where nothing was sent.
    """
    root = session_folder()
    try:
        with scratch_folder() as scratch:
            package = pack(root, scratch, never=(home,), setting="TMPDIR")
            send(api.run, head, package, unpacked=False)
    except (EbbError, ApiError) as error:
        say(_NOT_SENT.format(run=spec.name, root=root, why=error))
        return {}
    folders, _ = session_import_path(_own_folders(), root)
    shipment = Shipment(digest=package.digest, import_path=folders)
    modules = task_modules(spec, cluster, shipment)
    return modules.variables if modules is not None else {}


def session_folder() -> Path:
    """Return the folder of this process's script; without one, as in a notebook, the current."""
    main = sys.modules.get("__main__")
    script = getattr(main, "__file__", None)
    if script is None or getattr(main, "__spec__", None) is not None:  # ``python -m`` is no script
        return Path.cwd()
    path = Path(script).resolve()
    return Path.cwd() if _is_installed(path) or not path.is_file() else path.parent


def _own_folders() -> list[str]:
    """Where this process imports from, but for what is installed."""
    found = (Path(folder).resolve() for folder in sys.path if os.path.isdir(folder))
    return [str(folder) for folder in found if not _is_installed(folder)]


def _is_installed(path: Path) -> bool:
    """Whether it is of this Python: a tool such as a notebook's kernel is no user's script."""
    prefixes = {Path(prefix).resolve() for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)}
    return any(path.is_relative_to(prefix) for prefix in prefixes)
