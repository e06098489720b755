"""Artifacts of a flow run, made and changed in place from any thread.

Prefect's own functions take the flow run from a context that only the flow's own thread has.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate


class Artifacts:
    """Those of one flow run: the first ``put`` of a key makes it, later ones change it."""

    def __init__(self, client: SyncPrefectClient, flow_run_id: UUID):
        self._client = client
        self._flow_run_id = flow_run_id
        self._made: dict[str, UUID] = {}
        self._data: dict[str, Any] = {}

    def put(self, key: str, kind: str, data: Any, description: str = "") -> None:
        """Show this under the key; nothing is sent when it is there already.

        Args:
            key: lower case and dashes; the UI keeps a history for each.
            kind: ``progress`` (data: 0 to 100), ``markdown``.
            data: what is shown.
            description: markdown above it.
        """
        if self._data.get(key) == (data, description):
            return
        if key in self._made:
            change = ArtifactUpdate(data=data, description=description)
            self._client.update_artifact(self._made[key], change)
        else:
            fresh = ArtifactCreate(
                key=key,
                type=kind,
                data=data,
                description=description,
                flow_run_id=self._flow_run_id,
            )
            self._made[key] = self._client.create_artifact(fresh).id
        self._data[key] = (data, description)
