"""Artifacts, made and changed in place from any thread: a flow run's own, and pages of all.

Prefect's own functions take the flow run from a context that only the flow's own thread has.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import Artifact
from prefect.client.schemas.sorting import ArtifactSort
from prefect.types._datetime import now


class Artifacts:
    """One flow run's artifacts: the first ``put`` of a key makes one, later ones change it."""

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
            _change(self._client, self._made[key], change)
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


def put_current(
    client: SyncPrefectClient,
    key: str,
    page: str,
    *,
    fresh_for_s: float,
    flow_run_id: UUID | None = None,
) -> None:
    """Show this Markdown as what is now: the latest artifact of the key is changed in place.

    Args:
        client: of Prefect's server.
        key: lower case and dashes.
        page: Markdown.
        fresh_for_s: seconds after which an artifact is left as it is and a new one is made.
        flow_run_id: whose a new artifact is.
    """
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])),
        sort=ArtifactSort.CREATED_DESC,
        limit=1,
    )
    if found and _age_s(found[0]) < fresh_for_s:
        _change(client, found[0].id, ArtifactUpdate(data=page))
    else:
        fresh = ArtifactCreate(key=key, type="markdown", data=page, flow_run_id=flow_run_id)
        client.create_artifact(fresh)


def _change(client: SyncPrefectClient, artifact: UUID, change: ArtifactUpdate) -> None:
    """Change an artifact. The client's own method would also store its content as an event."""
    body = change.model_dump(mode="json", exclude_unset=True)
    client.request("PATCH", "/artifacts/{id}", path_params={"id": artifact}, json=body)


def _age_s(artifact: Artifact) -> float:
    return (now("UTC") - artifact.created).total_seconds() if artifact.created else 0.0
