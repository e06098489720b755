"""The lab's relay does what it is told, and leaves everything else as it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Access, Request
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP
from tests.helpers import wait_until
from tests.kubernetes.lab import relay as relays
from tests.kubernetes.lab.relay import Relay
from tests.kubernetes.test_api import LABELS, config_map, pod, runs

VERSION = Request(path="/version")


@pytest.fixture
def there(relay: Relay, space: str, tmp_path: Path) -> Iterator[Api]:
    """The same namespace as ``here``, through the relay."""
    found = Api(Access(kubeconfig=str(relay.kubeconfig(tmp_path)), namespace=space))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("fault", "status"),
    [(relays.busy(1), 429), (relays.CONFLICT, 409), (relays.EXPIRED, 410), (relays.CUT, 0)],
)
def test_so_many_requests_are_answered_so(
    there: Api, relay: Relay, fault: relays.Fault, status: int
) -> None:
    rule = relay.strike(fault, "/version", times=1)
    with pytest.raises(ApiError) as refused:
        there.send(VERSION)
    assert refused.value.status == status
    assert refused.value.retry_after_s == (1 if status == 429 else None)
    assert there.send(VERSION).status == 200
    assert rule.struck == 1


def test_a_lost_answer_is_that_of_something_done(there: Api, relay: Relay, here: Api) -> None:
    relay.strike(relays.LOST_ANSWER, "^POST", times=1)
    with pytest.raises(ApiError) as refused:
        there.create(config_map())
    assert refused.value.exists
    assert here.get(CONFIG_MAP, "one") is not None


def test_a_late_answer_comes_so_much_later(there: Api, relay: Relay) -> None:
    relay.strike(relays.late(0.5))
    began_s = time.monotonic()
    there.send(VERSION)
    assert time.monotonic() - began_s > 0.5


def test_a_watch_begins_well_and_then_says_that_it_has_expired(there: Api, relay: Relay) -> None:
    relay.strike(relays.EXPIRED_LATER, relays.WATCHES)
    with pytest.raises(ApiError) as refused:
        next(there.watch(CONFIG_MAP, there.list(CONFIG_MAP).version))
    assert refused.value.status == 410


def test_a_watch_passes_until_it_is_cut(there: Api, relay: Relay) -> None:
    changes = there.watch(CONFIG_MAP, there.list(CONFIG_MAP, LABELS).version, labels=LABELS)
    there.create(config_map())
    assert next(changes)[0] == "ADDED"
    assert relay.cut(relays.WATCHES) == 1
    with pytest.raises((ApiError, StopIteration)):
        next(changes)


def test_a_command_passes(there: Api) -> None:
    there.create(pod("exec sleep 600"))
    wait_until(lambda: runs(there), 60, "the pod runs")
    with there.run("works", "main", ["/bin/sh", "-c", "head -c 6; exit 3"]) as command:
        command.write(b"abcdef")
        said = b""
        while (piece := command.read(30)) is not None:
            said += piece
        assert (said, command.code) == (b"abcdef", 3)
