"""Whether a client in this process fits its cluster: asked of the head's pod before it connects.

What client and workers send each other is pickled: another minor version of Python, or another
version of the framework, shows as an error in the middle of the work, if at all.
"""

from __future__ import annotations

import contextlib
from http import HTTPStatus

from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.frameworks.base import Framework
from ebbtide.infra.frameworks.door import basic
from ebbtide.infra.frameworks.versions import Versions, own_versions
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.inside.begin.versions import EBB_HINT, PATH, read_answer
from ebbtide.infra.platforms.kubernetes.tending.forwarding import Connect
from ebbtide.infra.platforms.kubernetes.tending.head import Through
from ebbtide.infra.version import VERSION
from ebbtide.infra.waiting import wait_until

_ANSWER_S = 10.0
"""For how long the head's package store is asked; without an answer nothing is compared."""
_CLIENT_HINT = (
    "use an environment with the versions of the image, or an image with those of the environment;"
    " a program (.run of the cluster) runs in the image"
)


def check_client(connect: Connect, framework: Framework, secret: str) -> None:
    """Compare this process with the image of a cluster's head.

    Args:
        connect: opens a connection to the package store beside the head.
        framework: whose client is to connect.
        secret: of the cluster, which the store wants to be told.

    Raises:
        ConfigurationError: VERSIONS_DIFFER, with both versions.
    """
    found = _told(connect, f"{PATH}{framework.package}", basic(secret))
    if found is None:
        return
    theirs, ebb = found
    mine = own_versions(framework.package)
    if ebb not in ("", VERSION):
        raise _differ(
            f"this process has Ebb {VERSION}, the cluster's image has Ebb {ebb}", EBB_HINT
        )
    if not mine.fits(theirs, framework.python_parts):
        has, image = mine.named(framework.package), theirs.named(framework.package)
        raise _differ(f"this process is {has}, the cluster's image has {image}", _CLIENT_HINT)


def _differ(summary: str, hint: str) -> ConfigurationError:
    return ConfigurationError([Problem(Reason.VERSIONS_DIFFER, summary, hint)])


def _told(connect: Connect, path: str, authorization: str) -> tuple[Versions, str] | None:
    """None when the store cannot say, or does not answer: a client then tells why it cannot."""
    with contextlib.closing(Through(connect)) as store:
        status, body = wait_until(
            lambda: _answered(store, path, authorization), timeout_s=_ANSWER_S
        ) or (HTTPStatus.BAD_GATEWAY, b"")
    return read_answer(body) if status == HTTPStatus.OK else None


def _answered(store: Through, path: str, authorization: str) -> tuple[int, bytes] | None:
    status, body = store.ask(path, authorization)
    return None if status == HTTPStatus.BAD_GATEWAY else (status, body)
