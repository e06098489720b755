"""The catalog of a namespace: pools and tiers that an administrator has written down once."""

from __future__ import annotations

from ebbtide.infra.platforms.kubernetes.api_error import translated
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP
from ebbtide.infra.request.catalog import FILE_NAME, Shared
from ebbtide.infra.settings import Settings

NAME = "ebb-catalog"
"""Of the ConfigMap; its key is ``ebb.yaml``."""


def shared_catalog(settings: Settings) -> Shared | None:
    """Read the catalog of the namespace; None where nobody has written one.

    Raises:
        EbbError: there is no way to the API server, or it refuses.
    """
    api = connected(settings)
    with translated("read the catalog of the namespace"):
        found = api.get(CONFIG_MAP, NAME)
    text = (found or {}).get("data", {}).get(FILE_NAME)
    if text is None:
        return None
    return Shared(text=text.encode(), source=f"ConfigMap {NAME} of namespace {api.namespace}")
