"""Logs of head and workers, over a kubelet and an API server that fail exactly where told."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.reading.snapshot import Snapshot
from ebbtide.infra.platforms.kubernetes.tending.logs import copy, member_logs
from ebbtide.infra.platforms.kubernetes.tending.logs.member_logs import MemberLogs
from ebbtide.infra.platforms.kubernetes.tending.logs.position import Position
from tests.helpers import wait_until
from tests.unit.platforms.tending.fakes import CLUSTER, pod

NAMES = {"w-a": "worker-0"}
AWAY = ApiError(0, "Away", "nobody answers")
LOST = ApiError(500, "", "the kubelet does not answer")


def line(second: float, text: str) -> bytes:
    whole, fraction = divmod(round(second * 10**9), 10**9)
    stamp = f"2026-11-27T10:00:{whole:02}.{fraction:09}".rstrip("0").rstrip(".")
    return f"{stamp}Z {text}\n".encode()


def stamps(log: bytes) -> list[bytes]:
    return log.splitlines(keepends=True)


@dataclass
class Kubelet:
    """One pod's log; an answer breaks where ``breaks`` says."""

    pod: Object | None
    log: bytes = b""
    previous: bytes | None = None
    breaks: list[tuple[int | None, ApiError | None]] = field(default_factory=list)
    """For each answer to come: after how many bytes it ends, and with which error."""
    rotates: dict[int, int] = field(default_factory=dict)
    """Before which answer so many bytes at the log's beginning go."""
    ends_after: int = 0
    """How many looks at the pod pass before its container has ended."""
    goes: bool = False
    """Whether the pod is gone instead."""
    asked: list[Mapping[str, str]] = field(default_factory=list)
    patience_s: float = 2.0
    namespace: str = "team"

    def logs(
        self, pod: str, container: str, options: Mapping[str, str], **_: Any
    ) -> Iterator[bytes]:
        del pod, container
        self.log = self.log[self.rotates.pop(len(self.asked), 0) :]
        self.asked.append(options)
        found = self.previous if "previous" in options else self.log
        if found is None:
            raise ApiError(400, "BadRequest", "previous terminated container not found")
        since = options.get("sinceTime", "").rstrip("Z").encode()
        answer = b"".join(each for each in stamps(found) if each[: len(since)] >= since)
        end, error = self.breaks.pop(0) if self.breaks else (None, None)
        yield answer[:end]
        if error is not None:
            raise error

    def get(self, *_: object) -> Object | None:
        assert self.pod is not None
        if self.ends_after > 0:
            self.ends_after -= 1
            return self.pod
        if self.goes:
            return None
        return self.pod | {"status": status("terminated")}


def status(state: str = "running", restarts: int = 0, name: str = "worker") -> Object:
    main = {"name": name, "state": {state: {}}, "restartCount": restarts}
    return {"phase": "Running", "containerStatuses": [main]}


def worker(state: str = "running", restarts: int = 0, **metadata: Any) -> Object:
    return pod("w-a", **metadata) | {"status": status(state, restarts)}


def leaves() -> Object:
    return worker(deletionTimestamp="2026-11-27T10:01:00Z")


@dataclass(slots=True)
class Kept:
    """The logs of a cluster with one worker."""

    kubelet: Kubelet
    folder: Path
    told: list[str] = field(default_factory=list)
    logs: MemberLogs = field(init=False)

    def __post_init__(self) -> None:
        self.logs = MemberLogs(self.kubelet, self.folder, self.told.append)  # type: ignore[arg-type]

    def tick(self, *pods: Object) -> None:
        """Look, and wait for what that began."""
        if pods:
            self.kubelet.pod = pods[0]
        lease: Object = {"metadata": {}}
        self.logs.tick(Snapshot(cluster=CLUSTER, now=0.0, lease=lease, pods=pods), NAMES)
        for thread in threading.enumerate():
            if thread.name.startswith("log of"):
                thread.join(10)
                assert not thread.is_alive()

    def collect(self, pod: Object) -> None:
        self.logs.collect(Snapshot(cluster=CLUSTER, now=0.0, pods=(pod,)), NAMES)

    @property
    def text(self) -> str:
        return (self.folder / "worker-0.log").read_text()


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "pause", lambda seconds: None)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(Kubelet(None), tmp_path)


TEN = b"".join(line(1 + number * 0.3, f"line {number}") for number in range(10))
WHOLE = "".join(f"line {number}\n" for number in range(10))


@pytest.mark.parametrize("end", range(0, len(TEN), 7))
def test_follower_that_is_cut_off_anywhere_loses_and_repeats_no_line(kept: Kept, end: int) -> None:
    kept.kubelet.log = TEN
    kept.kubelet.breaks = [(end, AWAY), (max(0, end - 200), LOST), (None, None)]
    kept.kubelet.ends_after = 2
    kept.tick(leaves())
    assert (kept.text, kept.told) == (WHOLE, [])


def test_answer_that_ends_as_if_it_were_whole_is_taken_up_again_while_the_container_runs(
    kept: Kept,
) -> None:
    kept.kubelet.log, kept.kubelet.breaks = TEN, [(100, None)]
    kept.kubelet.ends_after = 1
    kept.tick(leaves())
    assert (kept.text, kept.told) == (WHOLE, [])


def test_end_is_read_once_more_when_the_container_has_ended(kept: Kept) -> None:
    kept.kubelet.log, kept.kubelet.breaks = TEN + line(5, "last")[:-1], [(100, AWAY)]
    kept.tick(leaves())
    assert (kept.text, kept.told) == (f"{WHOLE}last", [])
    assert "follow" not in kept.kubelet.asked[-1]


def test_lines_that_the_node_took_away_meanwhile_are_told(kept: Kept) -> None:
    kept.kubelet.log, kept.kubelet.breaks = TEN, [(TEN.index(b"line 4"), AWAY)]
    kept.kubelet.rotates = {1: TEN.index(line(1 + 7 * 0.3, "line 7"))}
    kept.kubelet.ends_after = 1
    kept.tick(leaves())
    head, _, tail = kept.text.partition("... lines are missing here ...\n")
    assert (head.splitlines()[-1], tail.splitlines()[0]) == ("line 3", "line 7")
    (told,) = kept.told
    assert told.startswith("the log of worker-0 is not whole")


def test_pod_that_goes_before_its_end_was_read_is_told(kept: Kept) -> None:
    kept.kubelet.log, kept.kubelet.breaks, kept.kubelet.goes = TEN, [(100, LOST)], True
    kept.tick(leaves())
    assert kept.told == [
        "the log of worker-0 is not whole: its end could not be read: the kubelet does not answer"
    ]


MISSING = ApiError(404, "NotFound", 'pods "w-a" not found')


@pytest.mark.parametrize("looks", [0, 1], ids=["has-ended", "seems-to-run"])
def test_pod_that_goes_when_its_node_has_ended_the_answer_has_a_whole_log(
    kept: Kept, looks: int
) -> None:
    kept.kubelet.log, kept.kubelet.goes = TEN + line(5, "last")[:-1], looks > 0
    kept.kubelet.breaks, kept.kubelet.ends_after = [(None, None), (0, MISSING)], looks
    kept.tick(leaves())
    assert (kept.text, kept.told) == (f"{WHOLE}last", [])


def test_pod_that_goes_when_the_answer_broke_off_is_told(kept: Kept) -> None:
    kept.kubelet.log, kept.kubelet.breaks = TEN, [(None, None), (0, LOST), (0, MISSING)]
    kept.kubelet.ends_after = 1
    kept.tick(leaves())
    (told,) = kept.told
    assert told.endswith('pods "w-a" not found')


def test_pod_that_went_between_two_looks_is_told(kept: Kept) -> None:
    kept.tick(worker())
    kept.tick()
    assert kept.told == ["the log of worker-0 is not whole: its pod went before it could be read"]


def test_pod_that_never_ran_has_no_log_to_miss(kept: Kept) -> None:
    kept.tick(worker("waiting"))
    kept.tick()
    assert kept.told == []


@pytest.mark.parametrize("phase", ["Failed", "Pending"])
def test_pod_that_goes_and_never_ran_is_not_asked_again_and_again(kept: Kept, phase: str) -> None:
    kept.kubelet.breaks = [(0, ApiError(400, "BadRequest", "ContainerCreating"))] * 2
    gone = leaves() | {"status": {"phase": phase}}
    kept.kubelet.ends_after = 99
    kept.tick(gone)
    assert (len(kept.kubelet.asked), kept.told) == (2, [])


def test_what_a_container_printed_before_it_was_started_again_comes_first(kept: Kept) -> None:
    kept.kubelet.log, kept.kubelet.previous = line(9, "again"), TEN
    kept.kubelet.ends_after = 9
    kept.tick(worker(restarts=1))
    assert kept.text == WHOLE
    kept.collect(worker(restarts=1))
    assert (kept.text, kept.told) == (f"{WHOLE}again\n", [])


def test_previous_log_is_read_again_where_its_answer_broke(kept: Kept) -> None:
    kept.kubelet.previous, kept.kubelet.breaks = TEN, [(90, AWAY), (40, LOST)]
    kept.kubelet.ends_after = 9
    kept.tick(worker(restarts=1))
    assert (kept.text, kept.told) == (WHOLE, [])


def test_earlier_starts_than_the_one_before_are_told_to_be_lost(kept: Kept) -> None:
    kept.kubelet.previous, kept.kubelet.ends_after = TEN, 9
    kept.tick(worker(restarts=3))
    assert kept.text == WHOLE
    assert kept.told == ["the log of worker-0 is not whole: 2 earlier starts of it are not kept"]


def test_process_that_takes_over_keeps_what_earlier_containers_printed(
    kept: Kept, tmp_path: Path
) -> None:
    kept.kubelet.previous, kept.kubelet.ends_after = TEN, 9
    kept.tick(worker(restarts=1))
    kept.kubelet.previous = None
    kept.kubelet.log = line(9, "again")
    second = Kept(kept.kubelet, tmp_path)
    second.tick(worker(restarts=1))
    second.collect(worker(restarts=1))
    third = Kept(kept.kubelet, tmp_path)
    third.collect(worker(restarts=1))
    assert (third.text, third.told) == (f"{WHOLE}again\n", [])


def test_pod_of_another_attempt_stands_behind_the_one_before(kept: Kept, tmp_path: Path) -> None:
    kept.kubelet.log = TEN
    kept.collect(worker())
    second = Kept(Kubelet(None, log=line(30, "second")), tmp_path)
    second.collect(worker(uid="another"))
    assert second.text == f"{WHOLE}second\n"


def test_log_that_cannot_be_read_before_the_release_is_told(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member_logs, "_PATIENCE_S", 0.0)
    kept.kubelet.breaks = [(0, LOST)]
    kept.tick(worker())
    kept.collect(worker())
    assert kept.told == [
        "the log of worker-0 is not whole: its end could not be read: the kubelet does not answer"
    ]


def test_words_of_the_kubelet_are_no_log(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member_logs, "_PATIENCE_S", 0.0)
    kept.kubelet.log = b"unable to retrieve container logs for containerd://1\n"
    kept.tick(worker())
    kept.collect(worker())
    assert not (kept.folder / "worker-0.log").exists()
    assert "unable to retrieve container logs" in kept.told[0]


def test_follower_ends_when_the_rest_is_collected(kept: Kept) -> None:
    released = threading.Event()
    hung_up: list[Any] = []

    def logs(*_: object, hangup: Any = None, **__: object) -> Iterator[bytes]:
        hung_up.append(hangup)
        yield TEN
        if len(hung_up) == 1:
            wait_until(lambda: hangup.done, 10, "it is hung up")
            released.set()

    kept.kubelet.logs = logs  # type: ignore[method-assign]
    kept.kubelet.pod = leaves()
    kept.logs.tick(Snapshot(cluster=CLUSTER, now=0.0, pods=(leaves(),)), NAMES)
    wait_until(lambda: hung_up, 10, "it follows")
    kept.collect(leaves())
    assert released.is_set()
    assert (kept.text, kept.told) == (WHOLE, [])


def test_end_of_a_long_log_is_kept(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy, "LOG_BYTES", 2**16)
    monkeypatch.setattr(copy, "_SPARE_BYTES", 2**12)
    kept.kubelet.log = b"".join(line(1 + n / 1000, f"{n:0100}") for n in range(2000))
    kept.collect(worker())
    path = kept.folder / "worker-0.log"
    assert path.stat().st_blocks * 512 < 2 * 2**16
    assert path.read_bytes().endswith(b"1999\n")


def test_line_that_stands_behind_a_newer_one_is_not_lost() -> None:
    position = Position()
    position.resume()
    read = [position.take(line(at, text).strip()) for at, text in [(3.9, "a"), (4.1, "b")]]
    assert position.since == "2026-11-27T10:00:03Z"
    position.resume()
    again = [(3.9, "a"), (4.1, "b"), (4.05, "late"), (4.2, "c")]
    found = [position.take(line(at, text).strip()) for at, text in again]
    assert (read, found) == ([b"a", b"b"], [None, None, b"late", b"c"])
