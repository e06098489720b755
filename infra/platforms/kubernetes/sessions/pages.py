"""The pages of a cluster's head: the way to them through the API server, and who is let in."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial

from ebbtide.infra.files.private import private_folder, write_private
from ebbtide.infra.frameworks import door
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.base import Login
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import translated
from ebbtide.infra.platforms.kubernetes.clusters import holdings
from ebbtide.infra.platforms.kubernetes.tending.forwarding import LOOPBACK, Forward
from ebbtide.infra.platforms.kubernetes.tending.head import secret_of
from ebbtide.infra.settings import Settings

_DOORS = "doors"
"""Not among the clusters of this machine: what lies there is held, or an orphan."""


def login(settings: Settings, api: Api, cluster: ClusterId) -> Login | None:
    """Return what the pages want to be told; None when there is no such cluster any more.

    Args:
        settings: of this installation, which keeps a copy for the browser.
        api: of the namespace.
        cluster: its id.

    Returns:
        User and password.

    Raises:
        EbbError: it cannot be read now, or not by us.
    """
    with translated("read the cluster's secret"):
        password = secret_of(api, cluster)
    if not password:
        return None
    file = private_folder(settings.home, _DOORS, cluster) / door.SECRET_FILE
    write_private(file, password)
    return Login(user=door.USER, password=password, password_file=file)


def forget(settings: Settings, cluster: ClusterId) -> None:
    """Delete the copy of a cluster that has gone."""
    shutil.rmtree(settings.home / _DOORS / cluster, ignore_errors=True)


@contextlib.contextmanager
def page(api: Api, view: ClusterView) -> Iterator[str]:
    """Lead to the pages while the block lasts; yields their URL here, empty when there are none."""
    if view.head_ready_at is None or view.released_at is not None:
        yield ""
        return
    pod = holdings.head_pod(api, view.cluster)
    forward = Forward(partial(api.connect, pod, layout.PAGE_PORT))
    with contextlib.closing(forward):
        yield f"http://{LOOPBACK}:{forward.port}"
