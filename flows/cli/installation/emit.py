"""``ebb emit``: tell Prefect that something happened, so that what waits for it is started."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from ebbtide.flows.cli.output import print_json, say
from ebbtide.flows.cli.parsing.command import argument, command, option
from ebbtide.flows.events import outbox
from ebbtide.flows.events.prefect_events import Effects, effects_of, send
from ebbtide.flows.prefect_server.api import Api
from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.settings import Settings, load_settings
from ebbtide.infra.waiting import wait_until

_DESCRIPTION = """Sends an event to the Prefect server of PREFECT_API_URL, or to this machine's own.
When none answers, the event is kept on disk and sent by the next `ebb emit` or `ebb up`; exit 75.
With --wait: exit 70 when an automation failed on it, 75 when no run was started in time. JSON: an
object with the keys id, event, resource, sent, flow_runs, failed."""
_MORE_S = 1.0
"""After the first effect: another automation may have been set off as well."""


@command("emit", _DESCRIPTION)
@argument("event", help="its name, such as dataset.updated")
@option("--resource", required=True, metavar="ID", help="what it happened to")
@option("--payload", metavar="JSON", help="facts, as a JSON object")
@option("-p", multiple=True, metavar="KEY=VALUE", help="one fact; may be repeated")
@option("--wait", type=float, metavar="SECONDS", help="wait for the runs it starts, and name them")
def main(options: Any) -> int:
    """Send one event, and first what is still kept."""
    event = {
        "id": str(uuid4()),
        "occurred": dt.datetime.now(dt.UTC).isoformat(),
        "event": options.event,
        "resource": {"prefect.resource.id": options.resource},
        "related": [],
        "payload": _payload(options.payload, options.p),
    }
    settings = load_settings()
    api = _sent_to(settings, event)
    effects = _effects(api, event["id"], options.wait) if api and options.wait else None
    if options.json:
        print_json(_document(event, sent=api is not None, effects=effects))
    elif effects is not None:
        _say_effects(event, effects, options.wait)
    if api is None or (effects is not None and not effects):
        return ExitCode.TEMPORARY
    return ExitCode.INFRASTRUCTURE if effects is not None and effects.failed else ExitCode.OK


def _sent_to(settings: Settings, event: dict[str, Any]) -> Api | None:
    """Send the event, and those kept before it. Returns the server; None: it was kept."""
    api = outbox.server_api(settings)
    try:
        if api is not None:
            late = outbox.flush(api, settings)
            send(api, [event])
            also = f", and {len(late)} that had been kept" if late else ""
            said = f"{event['event']} of {event['resource']['prefect.resource.id']}"
            say(f"  sent {said} to {api.url}{also}")
            return api
        why = "no Prefect server runs here and PREFECT_API_URL is not set"
    except ProvisioningError as error:
        why = error.detail
    except ConfigurationError as error:
        if error.reason is not Reason.PREFECT_REFUSES:
            raise
        say(f"  kept as {outbox.keep(settings, event)}; the next `ebb emit` sends it, once")
        raise
    path = outbox.keep(settings, event)
    say(f"! not sent: {why}")
    say(f"  kept as {path}; the next `ebb emit` or `ebb up` with a server sends it, once")
    return None


def _effects(api: Api, event_id: str, wait_s: float) -> Effects:
    found = wait_until(lambda: effects_of(api, event_id), timeout_s=wait_s, longest_s=1.0)
    if not found:
        return found
    wait_until(lambda: False, timeout_s=min(_MORE_S, wait_s))
    return effects_of(api, event_id)


def _say_effects(event: dict[str, Any], effects: Effects, wait_s: float) -> None:
    for _, name in effects.flow_runs:
        say(f"  started flow run {name}")
    for failure in effects.failed:
        say(f"✗ {failure.automation} failed on it: {failure.why}")
    if not effects:
        say(f"! no run was started within {wait_s:g} s")
        say(f"  fix   does a deployment's trigger expect {event['event']!r} of this resource?")


def _document(event: dict[str, Any], *, sent: bool, effects: Effects | None) -> dict[str, Any]:
    runs = effects.flow_runs if effects else ()
    failed = effects.failed if effects else ()
    return {
        "id": event["id"],
        "event": event["event"],
        "resource": event["resource"]["prefect.resource.id"],
        "sent": sent,
        "flow_runs": [{"id": id_, "name": name} for id_, name in runs],
        "failed": [{"automation": f.automation, "why": f.why} for f in failed],
    }


def _payload(text: str | None, pairs: Iterable[str]) -> dict[str, Any]:
    """Return the object of ``--payload``, with the facts of ``-p`` added as texts.

    Raises:
        ConfigurationError: OPTION_INVALID, for all that is wrong.
    """
    problems = []
    payload: Any = {}
    try:
        payload = json.loads(text) if text else {}
        if not isinstance(payload, dict):
            raise ValueError("it is no object")
    except ValueError as error:
        summary = f"--payload is not a JSON object: {error}"
        problems.append(Problem(Reason.OPTION_INVALID, summary, """write it like '{"a": 1}'"""))
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not key or not equals:
            hint = "write it like -p version=7"
            problems.append(Problem(Reason.OPTION_INVALID, f"-p {pair} has no value", hint))
        elif not problems:
            payload[key] = value
    if problems:
        raise ConfigurationError(problems)
    return dict(payload)
