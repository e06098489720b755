"""A framework's client in this process: its keys, and the way to the head.

From a pod of the same Kubernetes it connects directly, where the network lets it. From anywhere
else, and where it does not, it goes through the API server.
"""

from __future__ import annotations

import base64
import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.files.private import private_folder, write_private
from ebbtide.infra.frameworks.base import Framework, HeadInfo, load_framework
from ebbtide.infra.frameworks.bootstrap import say
from ebbtide.infra.frameworks.door import SECRET_FILE
from ebbtide.infra.frameworks.plan import ClusterPlan
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.extras import Connection
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import translated
from ebbtide.infra.platforms.kubernetes.clusters import holdings
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import SECRET
from ebbtide.infra.platforms.kubernetes.sessions.direct import direct_host
from ebbtide.infra.platforms.kubernetes.sessions.modules import send_modules
from ebbtide.infra.platforms.kubernetes.sessions.tunnel import Tunnel
from ebbtide.infra.platforms.kubernetes.sessions.versions import check_client
from ebbtide.infra.platforms.kubernetes.tending.forwarding import LOOPBACK
from ebbtide.infra.settings import Settings

_SLOW = (
    "the client of {run} goes through the API server, which is slow for data: all that it sends and"
    " gets back passes there; a program (.run of the cluster) or a flow in a pod connects directly"
)
_HEALED = "the client of {run} lost its connection and has it again; nothing was lost"


@contextlib.contextmanager
def connection(spec: RunSpec, settings: Settings, view: ClusterView) -> Iterator[Connection]:
    """See ``infra.platforms.extras.connection_to``.

    Args:
        spec: of the run.
        settings: of this installation.
        view: of its cluster, whose head has answered.

    Yields:
        How a client connects. Its keys are in a private folder, which goes with the block.

    Raises:
        ConfigurationError: OPTION_INVALID, this framework has no client that could;
            VERSIONS_DIFFER, this Python, framework or Ebb is not that of the cluster's image.
        ProvisioningError: the API server does not answer, or the cluster is gone.
    """
    framework = load_framework(spec.cluster.framework)
    if framework.no_distant_client:
        raise _no_client(framework)
    api = connected(settings)
    with contextlib.ExitStack() as open_:
        with translated("connect to the cluster"):
            data = (api.get(SECRET, view.cluster) or {}).get("data", {})
            head = holdings.head_pod(api, view.cluster)
            check_client(partial(api.connect, head, layout.PACKAGE_PORT), framework, _secret(data))
            host = direct_host(api, spec, view.cluster)
        port = layout.PORT
        if not host:
            host, port = LOOPBACK, open_.enter_context(_tunnel(api, head, spec))
        address = framework.address(host, port)
        parent = private_folder(settings.home, "runs", spec.name)
        keys = Path(open_.enter_context(tempfile.TemporaryDirectory(prefix="keys-", dir=parent)))
        environment = _environment(framework, spec, view, address, keys)
        for name in _named_in(environment, keys):
            write_private(keys / name, base64.b64decode(data.get(name, "")).decode())
        environment.update(send_modules(api, spec, view.cluster, head, settings.home))
        yield Connection(address, environment)


def _no_client(framework: Framework) -> ConfigurationError:
    summary = f"on Kubernetes {framework.name} has no client outside of its cluster's pods"
    summary = f"{summary}: {framework.no_distant_client}"
    hint = (
        "run a program on this cluster (its .run), which connects by itself; or a job of its own"
        " (ebbtide.job, ebb run)"
    )
    return ConfigurationError([Problem(Reason.OPTION_INVALID, summary, hint)])


@contextlib.contextmanager
def _tunnel(api: Api, head: str, spec: RunSpec) -> Iterator[int]:
    """Yield the port of loopback that leads to the head's pod."""
    say(_SLOW.format(run=spec.name))
    connect = partial(api.connect, head, layout.TUNNEL_PORT)
    tunnel = Tunnel(connect, healed=lambda: say(_HEALED.format(run=spec.name)))
    with contextlib.closing(tunnel):
        yield tunnel.port


def _environment(
    framework: Framework, spec: RunSpec, view: ClusterView, address: str, keys: Path
) -> dict[str, str]:
    """What a program of the cluster has, with its keys where they are here."""
    plan = ClusterPlan(
        cluster=view.cluster, spec=spec.cluster, paths=replace(layout.paths(), secrets=keys)
    )
    head = HeadInfo(address=address, dashboard="", status_url="", secret="")
    return framework.driver_env(plan, layout.worker(), head)


def _secret(data: Mapping[str, str]) -> str:
    """Of its keys, as the API server spells them, what its package store wants to be told."""
    return base64.b64decode(data.get(SECRET_FILE, "")).decode()


def _named_in(environment: dict[str, str], keys: Path) -> set[str]:
    """The files in the folder that these variables name."""
    paths = map(Path, environment.values())
    return {path.name for path in paths if path.parent == keys}
