"""To which work pool a detached run's flow goes, and what is said while it waits there."""

from __future__ import annotations

import io
import json
import urllib.error
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows.cli.machine import doctor
from ebbtide.flows.cli.runs import run as command
from ebbtide.flows.detached import checking, flow_runs, pools, template
from ebbtide.flows.detached.ordering import WorkPoolFlow
from ebbtide.flows.detached.pools import Choice, WorkPool, choose
from ebbtide.flows.prefect_server.api import Api
from ebbtide.flows.service import prefect_http
from ebbtide.infra.errors import ConfigurationError, EbbError, ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms import extras
from ebbtide.infra.platforms.extras import FlowOrder

URL = "http://prefect.example:4200/api"
ORDER = FlowOrder("copper-heron", "abc", 690)


class Catalog:
    pools = ()


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The base job template that ebb prints."""
    monkeypatch.setattr(extras, "catalog_on", lambda *_: (Catalog, {}))
    text = template.base_job_template("kubernetes", {}, Path("/"))
    found: dict[str, Any] = json.loads(text)
    return found


class Prefect:
    """Prefect's server, with work pools and one flow run."""

    def __init__(self, *there: dict[str, Any]):
        self.there = {pool["name"]: pool for pool in there}
        self.state: dict[str, Any] = {"type": "SCHEDULED", "name": "Scheduled", "message": ""}
        self.asked: list[tuple[str, Any]] = []

    def __call__(self, api: Api, path: str, body: Any = None, *, timeout_s: float = 5.0) -> Any:
        assert (api.url, timeout_s) == (URL, 5.0)
        self.asked.append((path, body))
        if path == "work_pools/filter":
            assert body["work_pools"] == {"type": {"any_": ["kubernetes"]}}
            return [pool for pool in self.there.values() if pool["type"] == "kubernetes"]
        if path.startswith("work_pools/"):
            name = path.removeprefix("work_pools/")
            if name not in self.there:
                raise urllib.error.HTTPError(path, 404, "Not Found", Message(), io.BytesIO(b""))
            return self.there[name]
        if path == "flow_runs/7/set_state":
            self.state = body["state"]
            return {}
        return {
            "flows/": {"id": "3"},
            "flow_runs/": {"id": "7"},
            "flow_runs/7": {"state": self.state},
        }[path]


def pool(name: str, jobs: dict[str, Any], type_: str = "kubernetes", **more: Any) -> dict[str, Any]:
    standing = {"is_paused": False, "status": "READY", "concurrency_limit": None, **more}
    return {"name": name, "type": type_, "base_job_template": jobs, **standing}


Server = Callable[..., Prefect]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    def with_pools(*there: dict[str, Any]) -> Prefect:
        found = Prefect(*there)
        for module in (prefect_http, pools, flow_runs):
            monkeypatch.setattr(module, "ask", found)
        monkeypatch.setattr("ebbtide.flows.detached.ordering._EVERY_S", 0.0)
        return found

    return with_pools


def why(environ: dict[str, str] | None = None, url: str = URL) -> str:
    found = choose({"PREFECT_API_URL": url, **(environ or {})}, "team")
    assert found.pool is None
    return found.why


def test_the_only_work_pool_of_kubernetes_is_found(server: Server, ours: dict[str, Any]) -> None:
    server(pool("local", {}, "process"), pool("gpu", ours))
    found = choose({"PREFECT_API_URL": URL}, "team").pool
    assert found is not None
    assert found.name == "gpu"


def test_of_several_one_has_to_be_named(server: Server, ours: dict[str, Any]) -> None:
    server(pool("a", ours), pool("b", ours))
    assert why().endswith("several work pools of type kubernetes (a, b): EBB_WORK_POOL says which")
    found = choose({"PREFECT_API_URL": URL, "EBB_WORK_POOL": "b"}, "team").pool
    assert found is not None
    assert found.name == "b"


def test_nobody_who_asks_for_no_prefect_is_told_of_it() -> None:
    assert choose({}, "team") == Choice()


def test_it_can_be_turned_off() -> None:
    assert why({"EBB_WORK_POOL": "off"}) == "EBB_WORK_POOL=off"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_a_server_on_this_machines_loopback_serves_no_pod(host: str) -> None:
    url = f"http://{host}:4200/api"
    assert f"a pod does not reach Prefect's server at {url}" in why(url=url)
    assert "EBB_WORK_POOL=NAME" in why(url=url)


def test_a_server_without_such_a_pool_says_so(server: Server) -> None:
    server(pool("local", {}, "process"))
    assert why() == f"{URL} has no work pool of type kubernetes"


def test_a_pool_with_other_jobs_is_left_alone_or_refused_when_it_was_named(
    server: Server, ours: dict[str, Any]
) -> None:
    server(pool("plain", {"job_configuration": {"job_manifest": {"kind": "Job"}}}))
    said = "work pool plain has no base job template of Ebb's"
    assert why() == f"{said}: {pools.PRINTED} prints a base job template for one"
    with pytest.raises(ConfigurationError, match=said):
        choose({"PREFECT_API_URL": URL, "EBB_WORK_POOL": "plain"}, "team")


@pytest.mark.parametrize("where", ["configuration", "manifest"])
def test_a_pool_of_another_namespace_is_told(
    where: str, server: Server, ours: dict[str, Any]
) -> None:
    configured = ours["job_configuration"]
    metadata = configured["job_manifest"]["metadata"]
    (configured if where == "configuration" else metadata)["namespace"] = "batch"
    server(pool("gpu", ours))
    assert why().startswith("work pool gpu makes its Jobs in namespace batch, not in team: ")
    assert choose({"PREFECT_API_URL": URL}, "batch").pool is not None


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"PREFECT_API_URL": URL, "EBB_WORK_POOL": "gone"}, "has no such work pool"),
        ({"PREFECT_API_URL": URL, "EBB_WORK_POOL": "local"}, "is of type process"),
        ({"EBB_WORK_POOL": "gpu"}, "no Prefect server is named"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_anything_is_made(
    environ: dict[str, str], said: str, server: Server, ours: dict[str, Any]
) -> None:
    server(pool("local", {}, "process"), pool("gpu", ours))
    with pytest.raises(ConfigurationError, match=said):
        choose(environ, "team")


@pytest.mark.parametrize(
    ("environ", "standing", "state", "said"),
    [
        ({}, {}, "ok", f"gpu of {URL}, of type kubernetes, with a live Prefect worker"),
        ({}, {"status": "NOT_READY"}, "warning", "work pool gpu has no live Prefect worker"),
        ({}, {"is_paused": True}, "warning", "work pool gpu is paused"),
        ({"EBB_WORK_POOL": "off"}, {}, "ok", "EBB_WORK_POOL=off: detached runs are not in Prefect"),
        ({"EBB_WORK_POOL": "gone"}, {}, "missing", f"{URL} has no such work pool"),
        ({"EBB_WORK_POOL": "local"}, {}, "missing", "work pool local is of type process"),
        ({}, {"type_": "process"}, "warning", f"{URL} has no work pool of type kubernetes"),
    ],
)
def test_doctor_says_in_one_line_whether_the_work_pool_takes_flows(
    environ: dict[str, str],
    standing: dict[str, Any],
    state: str,
    said: str,
    server: Server,
    ours: dict[str, Any],
) -> None:
    server(pool("local", {}, "process"), pool("gpu", ours, **standing))
    (found,) = checking.findings({"PREFECT_API_URL": URL, **environ}, "team")
    assert found.state == state
    assert said in found.detail
    assert bool(found.fix) == (state != "ok")


def test_doctor_of_another_platform_looks_at_the_work_pool_too(
    server: Server, ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server(pool("gpu", ours))
    monkeypatch.setenv("PREFECT_API_URL", URL)
    monkeypatch.setattr(doctor, "findings_on", lambda *_: [])
    monkeypatch.setattr(doctor, "namespace_on", lambda *_: "team")
    assert [each.check for each in doctor._elsewhere("kubernetes")] == ["python", "work pool"]


def test_doctor_says_that_the_server_of_a_work_pool_does_not_answer(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server()

    def away(*_: object, **__: object) -> None:
        raise urllib.error.URLError("connection refused")

    monkeypatch.setattr(pools, "ask", away)
    (found,) = checking.findings({"PREFECT_API_URL": URL}, "team")
    assert (found.state, "connection refused" in found.detail) == ("missing", True)
    assert checking.findings({}, "team") == []


def test_who_makes_the_flow_is_said(
    server: Server, ours: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    class Away:
        namespace = "team"

    server(pool("gpu", ours))
    found = choose({"PREFECT_API_URL": URL}, "team")
    assert command._maker_of(found, Away()) is not None  # type: ignore[arg-type]
    assert command._maker_of(Choice(why="there is none"), Away()) is None  # type: ignore[arg-type]
    assert command._maker_of(Choice(), Away()) is None  # type: ignore[arg-type]
    assert capsys.readouterr().err.splitlines() == [
        f"  Flow     by work pool gpu of {URL}",
        "  ! not recorded in Prefect: the flow runs without it; there is none",
    ]


def ordered() -> WorkPoolFlow:
    found = WorkPoolFlow(WorkPool(Api(URL), "gpu"), "team")
    found.make(ORDER)
    return found


def test_a_flow_run_says_nothing_but_the_name_of_its_run(
    server: Server, ours: dict[str, Any]
) -> None:
    prefect = server(pool("gpu", ours))
    ordered()
    (_, flow), (_, made) = prefect.asked
    assert flow == {"name": "run-job"}
    assert (made["name"], made["parameters"]) == ("copper-heron", {"run": "copper-heron"})
    assert made["work_pool_name"] == "gpu"
    assert made["job_variables"] == {
        "ebb_run": "copper-heron",
        "ebb_digest": "abc",
        "ebb_hand_over_s": 690,
        "namespace": "team",
    }


@pytest.mark.parametrize(
    ("standing", "state", "said"),
    [
        ({"is_paused": True}, "SCHEDULED", "work pool gpu is paused; prefect work-pool resume gpu"),
        ({"status": "NOT_READY"}, "SCHEDULED", "work pool gpu has no live Prefect worker; "),
        ({"concurrency_limit": 2}, "SCHEDULED", "work pool gpu runs 2 flow runs at once"),
        ({}, "SCHEDULED", "a Prefect worker of work pool gpu takes it"),
        ({}, "PENDING", "a Prefect worker of work pool gpu makes its Job"),
        ({}, "RUNNING", ""),
    ],
)
def test_what_a_flow_run_waits_for_is_said(
    standing: dict[str, Any], state: str, said: str, server: Server, ours: dict[str, Any]
) -> None:
    prefect = server(pool("gpu", ours, **standing))
    flow = ordered()
    prefect.state = {"type": state, "name": state.title(), "message": ""}
    assert flow.look().startswith(said)
    assert bool(flow.look()) == bool(said)


def test_a_job_that_the_worker_could_not_make_ends_the_wait_in_its_words(
    server: Server, ours: dict[str, Any]
) -> None:
    prefect = server(pool("gpu", ours))
    flow = ordered()
    prefect.state = {"type": "CRASHED", "name": "Crashed", "message": "Forbidden: jobs.batch"}
    with pytest.raises(ProvisioningError, match="is Crashed: Forbidden: jobs") as error:
        flow.look()
    assert error.value.reason is Reason.LAUNCH_FAILED
    flow.give_up("it did not come")
    assert prefect.state["type"] == "CRASHED"


def test_an_order_that_is_taken_back_is_cancelled(server: Server, ours: dict[str, Any]) -> None:
    prefect = server(pool("gpu", ours))
    ordered().give_up("Ctrl-C")
    assert (prefect.state["type"], prefect.state["message"]) == ("CANCELLED", "Ctrl-C")


def test_a_server_that_goes_away_meanwhile_is_waited_for(
    server: Server, ours: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    server(pool("gpu", ours))
    flow = ordered()

    def away(*_: object, **__: object) -> None:
        raise urllib.error.URLError("connection refused")

    monkeypatch.setattr(flow_runs, "ask", away)
    assert flow.look() == "Prefect's server does not answer: connection refused"
    flow.give_up("it did not come")
    with pytest.raises(EbbError, match="made no flow run: connection refused"):
        ordered()


def test_an_administrator_may_change_all_but_whose_run_it_is(ours: dict[str, Any]) -> None:
    job = ours["job_configuration"]["job_manifest"]
    job["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "small"}
    assert template.is_ours(ours)
    job["metadata"]["name"] = "one"
    job["metadata"]["labels"] = {}
    job["spec"]["template"]["metadata"]["labels"] = {}
    job["spec"]["template"]["spec"]["containers"][0]["args"] = []
    assert not template.is_ours(ours)


def test_the_template_is_the_pod_of_a_detached_run_without_privileges(
    ours: dict[str, Any],
) -> None:
    pod = ours["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["name"], container["image"]) == ("prefect-job", "ebb-prefect")
    assert pod["serviceAccountName"] == "ebb-flow"
    assert pod["securityContext"]["runAsNonRoot"]
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert container["args"][-3:] == ["ebbtide.flows.detached", "{{ ebb_run }}", "{{ ebb_digest }}"]
