"""What every store of runs keeps to, with the records of Kubernetes on a real API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, LEASE
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, ROLE
from ebbtide.infra.platforms.kubernetes.records.store import KubernetesStore
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.store import RunStore
from tests.contract import test_store_contract as contract
from tests.contract.test_store_contract import HERON_1, HERON_NAME, NOTE, Place, store

__all__ = ["store"]
globals().update({name: test for name, test in vars(contract).items() if name.startswith("test_")})


@pytest.fixture
def place(here: Api, tmp_path: Path) -> Place:
    return Place(lambda: KubernetesStore(here, Ledger(tmp_path)))


def lease(duration_s: int) -> dict[str, object]:
    labels = {CLUSTER: HERON_1, ROLE: "cluster"}
    spec = {"leaseDurationSeconds": duration_s}
    metadata = {"name": HERON_1, "labels": labels}
    return {"apiVersion": LEASE.api, "kind": LEASE.name, "metadata": metadata, "spec": spec}


def test_renewals_are_the_leases_as_soon_as_there_is_one(here: Api, store: RunStore) -> None:
    here.create(lease(20))
    assert store.renew(HERON_1, 30)
    found = here.get(LEASE, HERON_1)
    cluster = store.cluster(HERON_1)
    assert found is not None
    assert cluster is not None
    assert found["spec"]["leaseDurationSeconds"] == cluster.lease_s == 30
    assert store.living_clusters() == [cluster]
    assert store.renew(HERON_1)
    again = store.cluster(HERON_1)
    assert again is not None
    assert again.renewals > cluster.renewals


def test_a_story_goes_with_its_run_also_when_kubectl_deletes_it(here: Api, store: RunStore) -> None:
    store.append(NOTE)
    story = here.get(CONFIG_MAP, f"ebb-run-{HERON_NAME}.story")
    assert story is not None
    (owner,) = story["metadata"]["ownerReferences"]
    assert owner["name"] == f"ebb-run-{HERON_NAME}"
