"""A run is handed over: what the machine does that begins it, at an API server of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from ebbtide.infra.errors import EbbError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import ProcessRef, Run
from ebbtide.infra.platforms.extras import Finding
from ebbtide.infra.platforms.kubernetes.api import Api, Listed
from ebbtide.infra.platforms.kubernetes.detached import leaving
from ebbtide.infra.platforms.kubernetes.kinds import POD_TEMPLATE, Kind, Object
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec
from tests.unit.platforms.kubernetes.here import Exec, Pod

RUN = RunName("heron")
RUNS = {"containerStatuses": [{"name": "flow", "state": {"running": {}}}]}
TEMPLATE = {"template": {"spec": {"containers": [{"name": "flow", "volumeMounts": []}]}}}


class Server:
    """Makes what it is told to, with one pod of the flow; the exec ends up in a folder here."""

    namespace = "team"

    def __init__(self, pod: Pod, status: Object):
        self.made: list[Object] = []
        self.deleted: list[str] = []
        self._pod, self._status = pod, status

    def get(self, kind: Kind, name: str) -> Object:
        assert (kind, name) == (POD_TEMPLATE, "ebb-flow")
        return TEMPLATE

    def create(self, thing: Object) -> Object:
        self.made.append(thing)
        return thing

    def list(self, kind: Kind, labels: Mapping[str, str]) -> Listed:
        del kind, labels
        return Listed([{"metadata": {"name": "heron-flow-7x"}, "status": self._status}], "1")

    def delete(self, kind: Kind, name: str, propagation: str) -> bool:
        assert propagation == "Background"
        self.deleted.append(f"{kind.name} {name}")
        return True

    def run(self, pod: str, container: str, argv: tuple[str, ...]) -> Exec:
        assert (pod, container) == ("heron-flow-7x", "flow")
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

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, status: Object):
        (folder / "pod").mkdir()
        self.pod = Pod(folder / "pod")
        self.server = Server(self.pod, status)
        (folder / "mine").mkdir()
        program = folder / "mine" / "train.py"
        program.write_text("pass")
        monkeypatch.setattr(leaving, "connected", lambda _: cast(Api, self.server))
        monkeypatch.setattr(leaving, "flow", lambda _: Finding("detached runs", "ok", ""))
        base = run_spec(RUN, cluster_spec("none"), program)
        self.spec = replace(base, limits=replace(base.limits, start_within_s=5))
        self.settings = Settings(home=folder / "home")
        self.departure = leaving.departure(self.settings, self.spec)

    def hand_over(self, waits: Callable[[str], bool] = bool) -> None:
        store = Records(self.spec, lambda: any((self.pod.folder / "packages").iterdir()))
        self.departure.hand_over(cast(RunStore, store), RUN, waits)


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
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    leave = Leave(tmp_path, monkeypatch, {"containerStatuses": [{"state": waiting}]})
    with pytest.raises(EbbError, match="ImagePullBackOff: no such image"):
        leave.hand_over()
    assert leave.server.deleted == ["Job heron-flow"]
