"""One set of watches keeps a cluster's objects current, whatever the server does."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api, Listed
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Hangup
from ebbtide.infra.platforms.kubernetes.kinds import DEPLOYMENT, EVENT, LEASE, NODE_CLAIM, POD, Kind
from ebbtide.infra.platforms.kubernetes.reading import feed, watching
from ebbtide.infra.platforms.kubernetes.reading.nodes.autoscalers import pool_status
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.reading.watching import (
    OF_A_PROGRAM,
    Watched,
    look,
    watched,
)
from tests.helpers import wait_until, watching_threads
from tests.unit.platforms.reading import objects
from tests.unit.platforms.reading.objects import CLUSTER, Object, event, pod, ready, snapshot
from tests.unit.platforms.reading.objects import LEASE as A_LEASE

SHORT_S = 5.0


class FakeApi(Api):
    """Lists and watches what a test says; blocks as a connection does, until it is hung up."""

    def __init__(self) -> None:
        self.namespace = "team"
        self.things: dict[Kind, dict[str, Object]] = {LEASE: {CLUSTER: A_LEASE}}
        self.changes: dict[Kind, queue.Queue[tuple[str, Object] | ApiError]] = {}
        self.calls: list[str] = []
        self.broken: ApiError | None = None
        self.asked_for: Any = {}
        self.ahead_s = 0.0

    @property
    def server(self) -> str:
        return f"https://fake/{id(self)}"

    def say(self, kind: Kind, what: str, thing: Object) -> None:
        thing = {**thing, "metadata": {"resourceVersion": "7", **thing["metadata"]}}
        name = thing["metadata"]["name"]
        things = self.things.setdefault(kind, {})
        things.pop(name, None) if what == "DELETED" else things.update({name: thing})
        self._of(kind).put((what, thing))

    def fail(self, kind: Kind, error: ApiError) -> None:
        self._of(kind).put(error)

    def list(
        self, kind: Kind, labels: Mapping[str, str] | None = None, fields: str = "", **_: Any
    ) -> Listed:
        del labels
        self.calls.append(f"list {kind.plural}")
        if self.broken:
            raise self.broken
        about = fields.removeprefix("involvedObject.name=")
        found = self.things.get(kind, {}).values()
        named = [each for each in found if not about or each["involvedObject"]["name"] == about]
        return Listed(named, "1")

    def watch(
        self, kind: Kind, *_: Any, hangup: Hangup | None = None, **__: Any
    ) -> Iterator[tuple[str, Object]]:
        self.calls.append(f"watch {kind.plural}")
        while hangup is not None and not hangup.done:
            try:
                told = self._of(kind).get(timeout=0.02)
            except queue.Empty:
                continue
            if isinstance(told, ApiError):
                raise told
            yield told

    def ask(self, request: Any, **_: Any) -> Any:
        self.calls.append(request.path)
        return self.asked_for

    def _of(self, kind: Kind) -> queue.Queue[tuple[str, Object] | ApiError]:
        return self.changes.setdefault(kind, queue.Queue())


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def watch(api: FakeApi) -> Iterator[Watched]:
    with watched(api, CLUSTER, OF_A_PROGRAM) as found:
        assert found.current(SHORT_S) is not None
        yield found


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(feed, "_REFUSED_PAUSE_S", 0.01)


def until(watch: Watched, done: Any) -> Snapshot:
    def look() -> Snapshot | None:
        found = watch.current()
        return found if found is not None and done(found) else None

    found = wait_until(look, SHORT_S, "the snapshot is so")
    assert found is not None
    return found


def test_changes_arrive(api: FakeApi, watch: Watched) -> None:
    api.say(POD, "ADDED", pod("driver"))
    seen = until(watch, lambda found: found.driver)
    api.say(POD, "MODIFIED", ready("driver"))
    after = watch.changed(seen.version, SHORT_S)
    assert after is not None
    assert after.version > seen.version
    api.say(POD, "DELETED", ready("driver"))
    until(watch, lambda found: found.driver is None)


def test_last_words_of_a_deleted_head_are_kept(api: FakeApi, watch: Watched) -> None:
    head = ready("head", 5)
    api.say(POD, "ADDED", head)
    api.say(POD, "DELETED", head)
    assert head["metadata"]["name"] in until(watch, lambda seen: seen.gone).gone


def test_wait_for_a_change_ends_in_time(watch: Watched) -> None:
    seen = watch.current()
    assert seen is not None
    assert watch.changed(seen.version, 0.05) is not None


def test_renewal_of_the_lease_is_no_change(api: FakeApi, watch: Watched) -> None:
    seen = watch.current()
    assert seen is not None
    api.say(LEASE, "MODIFIED", {**A_LEASE, "spec": {"renewTime": "later"}})
    renewed = until(watch, lambda found: found.lease and found.lease["spec"].get("renewTime"))
    assert renewed.version == seen.version
    api.say(LEASE, "DELETED", A_LEASE)
    assert until(watch, lambda found: found.lease is None).version > seen.version


def test_too_old_version_is_listed_again(api: FakeApi, watch: Watched) -> None:
    api.things[POD] = {"x": pod("driver")}
    api.fail(POD, ApiError(410, "Expired", "too old resource version"))
    until(watch, lambda found: found.driver)
    assert watch.silent_s == 0


def test_last_snapshot_stays_while_the_server_is_away(api: FakeApi, watch: Watched) -> None:
    api.say(POD, "ADDED", ready("driver"))
    until(watch, lambda found: found.driver)
    api.broken = ApiError(0, "NewConnectionError", "connection refused")
    api.fail(POD, ApiError(0, "ProtocolError", "connection broken"))
    wait_until(lambda: watch.silent_s > 0.05, SHORT_S, "it is silent")
    assert watch.trouble is not None
    assert watch.trouble.unreachable
    current = watch.current()
    assert current is not None
    assert current.driver is not None
    api.things[POD] = {}
    api.broken = None
    until(watch, lambda found: found.driver is None)
    assert watch.silent_s == 0
    assert watch.trouble is None


def test_expired_token_is_tried_again(api: FakeApi, watch: Watched) -> None:
    api.broken = ApiError(401, "Unauthorized", "the token has expired")
    api.fail(POD, api.broken)
    wait_until(lambda: watch.trouble, SHORT_S, "there is trouble")
    api.broken = None
    wait_until(lambda: watch.trouble is None, SHORT_S, "it is over")


def test_unexpected_error_does_not_end_the_watch(api: FakeApi, watch: Watched) -> None:
    api.say(POD, "ADDED", {"metadata": {"name": "x", "resourceVersion": "8"}, "status": None})
    api.say(POD, "ADDED", pod("driver"))
    wait_until(lambda: api.calls.count("list pods") > 1, SHORT_S, "it is listed again")


def test_server_that_never_answered_gives_no_snapshot(api: FakeApi) -> None:
    api.broken = ApiError(0, "NewConnectionError", "connection refused")
    with watched(api, CLUSTER) as found:
        assert found.current(0.1) is None
        assert found.changed(-1, 0.1) is None
        assert found.trouble is not None


def test_events_are_watched_only_while_something_is_pending(api: FakeApi, watch: Watched) -> None:
    assert "list events" not in api.calls
    scheduled = event(pod("driver"), "FailedScheduling", "0/1 nodes are available")
    others = {**scheduled, "involvedObject": {"kind": "Pod", "name": "heron-12-driver"}}
    api.things[EVENT] = {"a": scheduled, "b": others}
    api.say(POD, "ADDED", pod("driver"))
    assert len(until(watch, lambda found: found.events).events) == 1
    api.say(POD, "MODIFIED", ready("driver"))
    wait_until(lambda: not watch._event_feed.version, SHORT_S, "events are watched no more")
    before = api.calls.count("list events"), api.calls.count("watch events")
    api.say(POD, "MODIFIED", pod("driver"))
    wait_until(lambda: api.calls.count("list events") == 2, SHORT_S, "they are looked at again")
    assert before == (1, 1)


def test_events_from_before_the_watch_are_asked_for_where_a_start_takes_long(
    api: FakeApi, watch: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_EARLIER_EVENTS_AFTER_S", 0.05)
    api.things[EVENT] = {"a": event(pod("worker-1"), "FailedScheduling", "0/1 nodes")}
    api.say(POD, "ADDED", pod("worker-1"))
    assert len(until(watch, lambda found: found.events).events) == 1


def test_quick_start_does_not_read_all_events_of_the_namespace(
    api: FakeApi, watch: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Callable[[], None]] = []
    monkeypatch.setattr(watching, "_after", lambda _, do: asked.append(do))
    api.things[EVENT] = {"a": event(pod("worker-1"), "FailedScheduling", "0/1 nodes")}
    api.say(POD, "ADDED", pod("worker-1"))
    wait_until(lambda: asked, SHORT_S, "the earlier ones are put off")
    api.say(POD, "MODIFIED", ready("worker-1"))
    wait_until(lambda: not watch._event_feed.version, SHORT_S, "events are watched no more")
    asked[0]()
    assert api.calls.count("list events") == 1
    assert not until(watch, lambda found: found.pods).events


def test_event_of_the_pod_that_takes_the_code_is_there_at_once(
    api: FakeApi, watch: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "_EARLIER_EVENTS_AFTER_S", 60.0)
    api.things[EVENT] = {"a": event(pod("driver"), "Started", "Started container driver")}
    api.say(POD, "ADDED", pod("driver"))
    assert len(until(watch, lambda found: found.events).events) == 1


def test_run_costs_one_list_and_one_watch_a_kind(api: FakeApi) -> None:
    with watched(api, CLUSTER) as found:
        assert found.current(SHORT_S) is not None
        for number in range(50):
            api.say(POD, "ADDED", ready(f"worker-{number}"))
        until(found, lambda seen: len(seen.pods) == 50)
    assert sorted(api.calls) == sorted(
        f"{verb} {plural}"
        for plural in ("leases", "pods", "deployments", "horizontalpodautoscalers")
        for verb in ("list", "watch")
    )


def test_users_of_one_cluster_share_its_watches(api: FakeApi, watch: Watched) -> None:
    with watched(api, CLUSTER, OF_A_PROGRAM) as other:
        assert other is watch
    api.say(POD, "ADDED", ready("driver"))
    until(watch, lambda found: found.driver)


def test_last_user_ends_them_at_once(api: FakeApi) -> None:
    before = watching_threads()
    found = watched(api, CLUSTER)
    assert found.current(SHORT_S) is not None
    began = time.monotonic()
    found.close()
    assert time.monotonic() - began < 1
    assert watching_threads() <= before
    assert watched(api, CLUSTER) is not found


def test_autoscalers_status_is_asked_when_it_may_say_more(api: FakeApi, watch: Watched) -> None:
    api.asked_for = {"data": {"status": "nodeGroups:\n- name: compute\n  health: {maxSize: 5}\n"}}
    api.say(POD, "ADDED", pod("driver"))
    wait_until(lambda: "watch events" in api.calls, SHORT_S, "events are watched")
    api.say(EVENT, "ADDED", event(pod("driver"), "NotTriggerScaleUp", "1 max node group size"))
    seen = until(watch, lambda found: found.pool_status)
    assert seen.pool_status["compute"]["health"] == {"maxSize": 5}
    path = "/api/v1/namespaces/kube-system/configmaps/cluster-autoscaler-status"
    assert api.calls.count(path) == 1


@pytest.mark.parametrize("text", ["", "Cluster-autoscaler status at 2020:\n  Health: {", "- a"])
def test_status_of_another_shape_is_none(text: str) -> None:
    assert pool_status(text) == {}


def test_single_look_asks_once_a_kind(api: FakeApi) -> None:
    api.things[POD] = {"x": ready("driver")}
    assert look(api, CLUSTER).driver is not None
    assert len(api.calls) == 4
    api.things[POD] = {"x": pod("driver")}
    api.things[EVENT] = {"a": event(pod("driver"), "Pulling", "x")}
    assert len(look(api, CLUSTER).events) == 1


def test_missing_worker_is_pending(api: FakeApi) -> None:
    api.things[DEPLOYMENT] = {"x": objects.deployment(1)}
    look(api, CLUSTER)
    assert "list events" in api.calls
    assert snapshot(ready("head")).events == ()


NOMINATED = "Pod should schedule on: nodeclaim/compute-x7k2p"


def test_claims_are_listed_once_karpenter_has_promised_one(api: FakeApi, watch: Watched) -> None:
    api.things[NODE_CLAIM] = {"compute-x7k2p": {"metadata": {"name": "compute-x7k2p"}}}
    api.say(POD, "ADDED", pod("driver"))
    wait_until(lambda: "watch events" in api.calls, SHORT_S, "events are watched")
    assert "list nodeclaims" not in api.calls
    api.say(EVENT, "ADDED", event(pod("driver"), "Nominated", NOMINATED, who="karpenter"))
    seen = until(watch, lambda found: found.node_claims)
    assert list(seen.node_claims) == ["compute-x7k2p"]


def test_claims_that_may_not_be_listed_are_done_without(api: FakeApi, watch: Watched) -> None:
    api.say(POD, "ADDED", pod("driver"))
    wait_until(lambda: "watch events" in api.calls, SHORT_S, "events are watched")
    api.broken = ApiError(403, "Forbidden", "nodeclaims is forbidden")
    api.say(EVENT, "ADDED", event(pod("driver"), "Nominated", NOMINATED, who="karpenter"))
    wait_until(lambda: "list nodeclaims" in api.calls, SHORT_S, "they were asked for")
    assert until(watch, lambda found: found.events).node_claims == {}
