"""A run is handed over: what the machine does that begins it, at an API server of a test's own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import ProcessRef, Run
from ebbtide.infra.platforms.extras import Finding, FlowMaker, FlowOrder
from ebbtide.infra.platforms.kubernetes.api import Api, Listed
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.detached import leaving
from ebbtide.infra.platforms.kubernetes.kinds import EVENT, JOB, POD_TEMPLATE, Kind, Object
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec
from tests.unit.platforms.kubernetes.here import Exec, Pod

RUN = RunName("heron")
RUNS = {"containerStatuses": [{"name": "flow", "state": {"running": {}}}]}
TEMPLATE = {"template": {"spec": {"containers": [{"name": "flow", "volumeMounts": []}]}}}


class Server:
    """Makes what it is told to, with one pod of the flow; the exec ends up in a folder here."""

    namespace, ahead_s = "team", 0.0

    def __init__(self, pod: Pod, status: Object, container: str = "flow"):
        self._container = container
        self.refusals: list[str] = []
        self.events: list[Object] = []
        self.made: list[Object] = []
        self.deleted: list[str] = []
        self._pod, self._status = pod, status

    def get(self, kind: Kind, name: str) -> Object | None:
        if kind is JOB:
            assert name == "heron-flow"
            return next((each for each in self.made if each["kind"] == "Job"), None)
        assert (kind, name) == (POD_TEMPLATE, "ebb-flow")
        return TEMPLATE

    def create(self, thing: Object) -> Object:
        thing["metadata"]["uid"] = "7"
        self.made.append(thing)
        return thing

    def list(self, kind: Kind, labels: Mapping[str, str] | None, fields: str = "") -> Listed:
        if kind is EVENT:
            assert (labels, fields.endswith("involvedObject.name=heron-flow-7x")) == (None, True)
            return Listed(self.events, "1")
        containers = [{"name": self._container}, {"name": "beside"}]
        spec = {"containers": containers, "nodeName": "node-1"}
        pod = {"metadata": {"name": "heron-flow-7x"}, "spec": spec, "status": self._status}
        return Listed([] if self.refusals else [pod], "1")

    def ask(self, request: Request) -> Any:
        assert "involvedObject.name=heron-flow" in request.query["fieldSelector"]
        return {"items": [{"message": word} for word in self.refusals]}

    def logs(self, pod: str, container: str, options: Mapping[str, str]) -> Iterator[bytes]:
        assert (pod, container, "tailLines" in options) == ("heron-flow-7x", self._container, True)
        yield from (b"Traceback\n", b"No module named ebbtide.flows\n\n")

    def delete(self, kind: Kind, name: str, propagation: str) -> bool:
        assert propagation == "Background"
        self.deleted.append(f"{kind.name} {name}")
        return True

    def run(self, pod: str, container: str, argv: tuple[str, ...]) -> Exec:
        assert (pod, container) == ("heron-flow-7x", self._container)
        return self._pod.run(pod, container, argv)


class Records:
    """A run that a pod takes over when something is so."""

    def __init__(self, spec: RunSpec, taken: Callable[[], bool]):
        self._spec, self._taken = spec, taken

    def run(self, name: RunName) -> Run:
        process = ProcessRef(7, machine="heron-flow-7x/1") if self._taken() else ProcessRef(7)
        return Run(name=name, spec_json="{}", flow_process=process)


class Leave:
    """Everything that is needed to hand one run over."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        status: Object,
        container: str = "flow",
    ):
        (folder / "pod").mkdir()
        self.pod = Pod(folder / "pod")
        self.server = Server(self.pod, status, container)
        (folder / "mine").mkdir()
        program = folder / "mine" / "train.py"
        program.write_text("pass")
        monkeypatch.setattr(leaving, "connected", lambda _: cast(Api, self.server))
        monkeypatch.setattr(leaving, "flow", lambda _: Finding("detached runs", "ok", ""))
        self.spec = run_spec(RUN, cluster_spec("none"), program)
        self.settings = Settings(home=folder / "home")
        self.start_within(5)

    def start_within(self, seconds: float) -> None:
        self._with(replace(self.spec, limits=replace(self.spec.limits, start_within_s=seconds)))

    def with_secret(self, name: str) -> None:
        assert self.spec.job is not None
        self._with(replace(self.spec, job=replace(self.spec.job, secrets=(name,))))

    def _with(self, spec: RunSpec) -> None:
        self.spec, self.departure = spec, leaving.departure(self.settings, spec)

    def hand_over(
        self, waits: Callable[[str], bool] = bool, maker: FlowMaker | None = None
    ) -> None:
        store = Records(self.spec, lambda: any((self.pod.folder / "packages").iterdir()))
        self.departure.hand_over(cast(RunStore, store), RUN, waits, maker)


@pytest.fixture
def leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leave:
    return Leave(tmp_path, monkeypatch, RUNS)


def test_the_code_is_sent_and_nothing_of_the_run_stays_on_this_machine(leave: Leave) -> None:
    leave.hand_over()
    (job,) = leave.server.made
    (package,) = (leave.pod.folder / "packages").iterdir()
    args = job["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[-2:] == [RUN, package.name]
    assert leave.server.deleted == []
    assert not leave.settings.run_folder(RUN).exists()


def test_paths_of_this_machine_are_those_of_a_pod_for_the_flow(leave: Leave) -> None:
    job = leave.departure.spec.job
    assert job is not None
    assert (job.argv[1:], job.workdir) == (("/run/ebb/code/train.py",), "/run/ebb/code")


def test_who_waits_no_more_leaves_no_job(leave: Leave) -> None:
    told: list[str] = []

    def waits(why: str) -> bool:
        told.append(why)
        return False

    with pytest.raises(EbbError) as raised:
        leave.hand_over(waits)
    assert raised.value.reason is Reason.CANCELLED
    assert told == ["the flow in namespace team: its pod is made"]
    assert leave.server.deleted == ["Job heron-flow"]


def test_an_image_that_cannot_be_pulled_ends_the_wait_with_its_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Leave(tmp_path, monkeypatch, unpulled("manifest unknown"))
    with pytest.raises(EbbError, match="cannot start: image flow:1 cannot be pulled: manifest unk"):
        leave.hand_over()
    assert leave.server.deleted == ["Job heron-flow"]


def unpulled(words: str) -> Object:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": words}}
    return {"containerStatuses": [{"name": "flow", "image": "flow:1", "state": state}]}


def test_a_registry_that_is_away_for_a_moment_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave = Leave(tmp_path, monkeypatch, unpulled("connection refused"))
    leave.start_within(1)
    with pytest.raises(EbbError, match="in time: image flow:1 cannot be pulled: connection refus"):
        leave.hand_over()


def test_what_a_node_does_before_the_flow_begins_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave, told = Leave(tmp_path, monkeypatch, {}), list[str]()
    about = {"kind": "Pod", "name": "heron-flow-7x"}
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    said = {"reason": "Pulling", "message": 'Pulling image "flow:1"', "involvedObject": about}
    leave.server.events.append({**said, "firstTimestamp": at, "metadata": {}})
    leave.start_within(1)

    def waits(why: str) -> bool:
        told.append(why)
        return True

    with pytest.raises(EbbError, match="in time"):
        leave.hand_over(waits)
    assert told[-1] == 'the flow in namespace team: node node-1 pulls image "flow:1"'


def test_a_flow_that_is_to_be_started_again_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    last = {"terminated": {"exitCode": 1}}
    status = {"containerStatuses": [{"name": "flow", "state": state, "lastState": last}]}
    leave = Leave(tmp_path, monkeypatch, status)
    with pytest.raises(EbbError, match="ended with code 1: No module named ebbtide"):
        leave.hand_over()


def test_a_pod_that_could_not_do_its_work_ends_the_wait_with_the_last_line_of_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = {"name": "flow", "state": {"terminated": {"exitCode": 1}}}
    leave = Leave(tmp_path, monkeypatch, {"containerStatuses": [ended]})
    with pytest.raises(EbbError, match="ended with code 1: No module named ebbtide"):
        leave.hand_over()


def test_a_job_without_a_pod_says_who_refuses_it(leave: Leave) -> None:
    leave.start_within(1)
    leave.server.refusals.append("serviceaccount ebb-flow not found")
    with pytest.raises(EbbError, match="in time: serviceaccount ebb-flow not found"):
        leave.hand_over()


class Maker:
    """Makes the Job after some looks, or never."""

    def __init__(self, server: Server, after: int = 2):
        self._server, self._after = server, after
        self.ordered: list[FlowOrder] = []
        self.given_up: list[str] = []

    def make(self, order: FlowOrder) -> None:
        self.ordered.append(order)

    def look(self) -> str:
        self._after -= 1
        if self._after == 0:
            self._server.made.append(
                {"kind": "Job", "metadata": {"name": "heron-flow", "uid": "9", "labels": {}}}
            )
        return "work pool heron's is paused"

    def give_up(self, why: str) -> None:
        self.given_up.append(why)


@pytest.fixture
def by_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Leave:
    status = {"containerStatuses": [{"name": "prefect-job", "state": {"running": {}}}]}
    return Leave(tmp_path, monkeypatch, status, "prefect-job")


def test_a_job_that_somebody_else_makes_gets_the_code_and_the_secrets_all_the_same(
    by_another: Leave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "hush")
    by_another.with_secret("TOKEN")
    maker, told = Maker(by_another.server), list[str]()

    def waits(why: str) -> bool:
        told.append(why)
        return True

    by_another.hand_over(waits, maker)
    (order,) = maker.ordered
    (package,) = (by_another.pod.folder / "packages").iterdir()
    assert (order.run, order.digest) == (RUN, package.name)
    assert told[0].endswith(": work pool heron's is paused; for 5.0s at most")
    job, secret = by_another.server.made
    assert secret["stringData"] == {"TOKEN": "hush"}
    assert secret["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    assert "hush" not in str(order)
    assert (maker.given_up, by_another.server.deleted) == ([], [])


def test_a_job_that_nobody_makes_is_waited_for_until_the_deadline_and_taken_back(
    by_another: Leave,
) -> None:
    by_another.start_within(1)
    maker = Maker(by_another.server, after=10**6)
    with pytest.raises(
        EbbError, match="did not begin in time: work pool heron's is paused"
    ) as error:
        by_another.hand_over(maker=maker)
    assert error.value.reason is Reason.LAUNCH_FAILED
    assert len(maker.given_up) == 1
    assert by_another.server.deleted == ["Job heron-flow"]
