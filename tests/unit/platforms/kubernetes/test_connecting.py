"""What a framework's client in this process gets of a cluster on pods."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.cluster import ClusterView
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.platforms.extras import connection_to
from ebbtide.infra.platforms.kubernetes.clusters import holdings
from ebbtide.infra.platforms.kubernetes.sessions import connecting, direct
from ebbtide.infra.platforms.kubernetes.sessions.direct import policy
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec

VIEW = ClusterView(cluster=ClusterId("held-1"), head_address="tls://held-1-head:8786")


class Api:
    """Has one Secret."""

    namespace = "team"

    def get(self, kind: Any, name: str) -> dict[str, Any]:
        del kind, name
        return {"data": {"ca.pem": "Y2E=", "user-TOKEN": "czNjcjN0"}}


@pytest.fixture
def tunnels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is told when a client goes through the API server."""
    said: list[str] = []
    monkeypatch.setattr(connecting, "connected", lambda _: Api())
    monkeypatch.setattr(connecting, "say", said.append)
    monkeypatch.setattr(connecting, "check_client", lambda *_: None)
    monkeypatch.setattr(connecting, "send_modules", lambda *_: {"EBB_TASK_MODULES": "sent"})
    monkeypatch.setattr(holdings, "head_pod", lambda *_: "held-1-head")
    monkeypatch.setattr(Api, "connect", lambda *_: None, raising=False)
    return said


def settings(home: Path) -> Settings:
    return Settings(home=home, namespace="team")


def on_pods(framework: str) -> Any:
    return replace(run_spec("held", cluster_spec(framework)), platform="kubernetes")


def test_a_client_outside_has_keys_of_its_own_and_is_told_that_it_is_slow(
    ebb_home: Path, tunnels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "direct_host", lambda *_: "")
    with connection_to(on_pods("dask"), settings(ebb_home), VIEW) as way:
        assert way.address.startswith("tls://127.0.0.1:")
        assert way.environment["DASK_SCHEDULER_ADDRESS"] == way.address
        files = set(ebb_home.glob("runs/held/keys-*/*"))
        assert {str(path) for path in files} <= set(way.environment.values())
        assert files
        assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
        assert not any("TOKEN" in path.name for path in files), "the user's secrets stay there"
    assert not list(ebb_home.glob("runs/held/keys-*"))
    assert len(tunnels) == 1
    assert "slow" in tunnels[0]


def test_a_client_in_a_pod_goes_directly_and_nothing_is_said(
    ebb_home: Path, tunnels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "direct_host", lambda *_: "held-1-head.team")
    with connection_to(on_pods("dask"), settings(ebb_home), VIEW) as way:
        assert way.address == "tls://held-1-head.team:8786"
        assert way.environment["EBB_TASK_MODULES"] == "sent"
    assert tunnels == []


@pytest.mark.parametrize("framework", ["ray", "spark"])
def test_a_framework_without_a_distant_client_is_refused_with_what_works(
    ebb_home: Path, framework: str
) -> None:
    with (
        pytest.raises(ConfigurationError) as error,
        connection_to(on_pods(framework), settings(ebb_home), VIEW),
    ):
        pass
    (problem,) = error.value.problems
    assert f"{framework} has no client outside of its cluster's pods: " in problem.summary
    assert "run a program on this cluster" in problem.hint


def test_a_pod_is_let_in_by_labels_that_no_other_has_and_only_to_the_heads_port() -> None:
    own = {"batch.kubernetes.io/controller-uid": "7"}
    rule = policy("team", on_pods("dask"), VIEW.cluster, own)
    (ingress,) = rule["spec"]["ingress"]
    assert ingress["from"] == [{"podSelector": {"matchLabels": own}}]
    assert ingress["ports"] == [{"protocol": "TCP", "port": 8786}]
    assert rule["spec"]["podSelector"]["matchLabels"]["ebbtide.dev/role"] == "head"
    assert rule["metadata"]["labels"]["ebbtide.dev/cluster"] == "held-1"


def test_nobody_outside_of_a_pod_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct, "is_own_account", lambda *_: False)

    class Access:
        kubeconfig = context = ""

    class Outside(Api):
        access = Access()

        def get(self, *_: Any) -> dict[str, Any]:
            raise AssertionError("nothing is asked")

    assert direct.direct_host(Outside(), on_pods("dask"), VIEW.cluster) == ""  # type: ignore[arg-type]
