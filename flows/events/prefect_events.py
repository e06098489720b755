"""Prefect's event API over plain HTTP: send an event, and ask what came of it.

Imports no Prefect: it costs seconds, and an event is sent by scripts that have better to do.
"""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import urllib.error
from dataclasses import dataclass
from typing import Any

from ebbtide.flows.prefect_server.api import Api, refused_credentials
from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.waiting import wait_until

ACTION_DONE = "prefect.automation.action.executed"
ACTION_FAILED = "prefect.automation.action.failed"
_TIMEOUT_S = 10.0
_TRY_FOR_S = 15.0
_UNAUTHORIZED = (401, 403)


@dataclass(frozen=True, slots=True)
class FailedAction:
    """An automation that wanted to do something and could not: Prefect itself shows it nowhere."""

    at: dt.datetime
    automation: str
    event: str
    """Id of the event that set it off; empty when there was none."""
    why: str


@dataclass(frozen=True, slots=True)
class Effects:
    """What an event has led to so far."""

    flow_runs: tuple[tuple[str, str], ...]
    """Id and name."""
    failed: tuple[FailedAction, ...]

    def __bool__(self) -> bool:
        return bool(self.flow_runs or self.failed)


def send(api: Api, events: list[dict[str, Any]]) -> None:
    """Send events to Prefect; the same id twice counts as one event.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE.
        ConfigurationError: the server refuses them, with its own message.
    """
    _post(api, "events", events)


def effects_of(api: Api, event_id: str) -> Effects:
    """Return the runs that an event has started, and the actions on it that failed."""
    found = _filter(api, {"related": {"id": [f"prefect.event.{event_id}"]}})
    runs = {
        (_id(resource), resource.get("prefect.resource.name", ""))
        for event in found
        if event["event"] == ACTION_DONE
        for resource in event["related"]
        if resource.get("prefect.resource.role") == "flow-run"
    }
    failed = tuple(_failure(event) for event in found if event["event"] == ACTION_FAILED)
    return Effects(tuple(sorted(runs)), failed)


def failed_actions(api: Api, since: dt.datetime) -> list[FailedAction]:
    """Return the actions of automations that failed since then, oldest first, 50 at most.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE.
    """
    found = _filter(api, {"event": {"name": [ACTION_FAILED]}}, since)
    return sorted((_failure(event) for event in found), key=lambda failure: failure.at)


def _failure(event: dict[str, Any]) -> FailedAction:
    payload = event["payload"]
    detail = payload.get("validation_error") or payload.get("reason") or "no reason was given"
    triggers = [r for r in event["related"] if r.get("prefect.resource.role") == "triggering-event"]
    return FailedAction(
        at=dt.datetime.fromisoformat(event["occurred"]),
        automation=event["resource"].get("prefect.resource.name", "an automation"),
        event=_id(triggers[0]) if triggers else "",
        why=str(detail),
    )


def _id(resource: dict[str, str]) -> str:
    return resource["prefect.resource.id"].rpartition(".")[2]


def _filter(api: Api, what: dict[str, Any], since: dt.datetime | None = None) -> list[Any]:
    occurred = {"since": since.isoformat()} if since else {}
    body = {"filter": {**what, "occurred": occurred} if occurred else what, "limit": 50}
    found: list[Any] = _post(api, "events/filter", body)["events"]
    return found


def _post(api: Api, path: str, body: Any) -> Any:
    """Asked again while the server is busy (SQLite answers 503) or drops the connection."""
    problem: Exception | None = None

    def answered() -> tuple[Any] | None:
        nonlocal problem
        try:
            text = api.call(path, body, timeout_s=_TIMEOUT_S)
        except urllib.error.HTTPError as error:
            problem = error
            if error.code in (429, 502, 503, 504):
                return None
            raise _refused(api.url, path, error) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = error
            if isinstance(getattr(error, "reason", None), ConnectionRefusedError):
                raise _unreachable(api.url, error) from error
            return None
        return (json.loads(text) if text else None,)

    found = wait_until(answered, timeout_s=_TRY_FOR_S, first_s=0.2, longest_s=2.0)
    if found is None:
        raise _unreachable(api.url, problem)
    return found[0]


def _refused(url: str, path: str, error: urllib.error.HTTPError) -> ConfigurationError:
    if error.code in _UNAUTHORIZED:
        return refused_credentials(url, error.code, os.environ)
    said = error.read().decode(errors="replace")[:300]
    summary = f"{url}/{path} answers {error.code}: {said}"
    return ConfigurationError([Problem(Reason.OPTION_INVALID, summary, "is it a Prefect server?")])


def _unreachable(url: str, error: Exception | None) -> ProvisioningError:
    detail = f"{url}: {getattr(error, 'reason', error)}"
    hint = "start it (or unset PREFECT_API_URL)"
    return ProvisioningError(Reason.PREFECT_UNREACHABLE, detail=detail, hint=hint)
