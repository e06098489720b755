"""The catalog of a namespace: pools and tiers that an administrator has written down once."""

from __future__ import annotations

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, as_ebb_error
from ebbtide.infra.platforms.kubernetes.client import Access
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
    api = Api(Access(context=settings.context, namespace=settings.namespace))
    try:
        found = api.get(CONFIG_MAP, NAME)
    except ApiError as error:
        raise as_ebb_error(error, doing="read the catalog of the namespace") from error
    finally:
        api.close()
    text = (found or {}).get("data", {}).get(FILE_NAME)
    if text is None:
        return None
    return Shared(text=text.encode(), source=f"ConfigMap {NAME} of namespace {api.namespace}")
