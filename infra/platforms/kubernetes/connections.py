"""One connection for each place, shared by all threads of this process."""

from __future__ import annotations

import os
import threading

from ebbtide.infra.files.place import place_in_use
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.client import Access
from ebbtide.infra.settings import Settings

_apis: dict[tuple[int, Access], Api] = {}
_lock = threading.Lock()


def access_of(settings: Settings) -> Access:
    """Return how the Kubernetes of an installation is reached: as asked, or as it was last."""
    place = place_in_use(settings)
    if place is None:
        return Access(kubeconfig=settings.kubeconfig)
    return Access(
        context=place.context,
        namespace=place.namespace,
        kubeconfig=settings.kubeconfig or place.kubeconfig,
    )


def connected(settings: Settings) -> Api:
    """Return this process's connection to the Kubernetes of an installation; asks nothing yet.

    Raises:
        ConfigurationError: PLATFORM_UNUSABLE, there are no credentials.
    """
    access = access_of(settings)
    key = (os.getpid(), access)  # a child of a fork has sockets of its own
    with _lock:
        if key not in _apis:
            _apis[key] = Api(access)
        return _apis[key]


def namespace_of(settings: Settings) -> str:
    """Return the namespace that is in use; asks nobody.

    Raises:
        ConfigurationError: PLATFORM_UNUSABLE, there are no credentials.
    """
    return connected(settings).namespace
