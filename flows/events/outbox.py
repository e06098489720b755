"""Events that no server could take: kept on disk with their ids, sent when one answers.

A double send is one event, because the server tells events apart by their ids. Imports no Prefect.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ebbtide.flows.events.prefect_events import send
from ebbtide.flows.prefect_server import api, server
from ebbtide.flows.prefect_server.api import Api
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.files.private import locked, private_folder, write_whole
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wall_s

_NAME = "outbox"


def server_api(settings: Settings) -> Api | None:
    """Return the server that was named, else this machine's own when it runs."""
    named = api.named(os.environ)
    if named is not None:
        return named
    info = server.running(settings.home)
    return info.api if info else None


def keep(settings: Settings, event: dict[str, Any]) -> Path:
    """Write an event to disk, to be sent later."""
    folder = private_folder(settings.home, _NAME)
    path = folder / f"{wall_s():.6f}-{event['id']}.json"
    write_whole(path, json.dumps(event))
    return path


def waiting(settings: Settings) -> list[Path]:
    """Return the files of the events that are kept, oldest first."""
    return sorted(_folder(settings).glob("*.json"))


def flush(to: Api, settings: Settings | None = None) -> list[str]:
    """Send all events that are kept, in order, and return the ids of those that were sent.

    One that the server refuses is set aside (``.refused``), so that it does not block the others.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE; what was not sent is still kept.
        ConfigurationError: PREFECT_REFUSES, our credentials are refused; the same holds.
    """
    settings = settings or load_settings()
    if not waiting(settings):
        return []
    sent = []
    with locked(_folder(settings) / "lock"):
        for path in waiting(settings):
            event = json.loads(path.read_text())
            try:
                send(to, [event])
            except ConfigurationError as error:
                if error.reason is Reason.PREFECT_REFUSES:
                    raise  # it is us that it refuses, not the event
                path.rename(path.with_suffix(".refused"))
                continue
            path.unlink()
            sent.append(str(event["id"]))
    return sent


def _folder(settings: Settings) -> Path:
    return settings.home / _NAME
