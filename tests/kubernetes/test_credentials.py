"""A token that ends while a run goes on: renewed in time, too late, or never."""

from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import pytest
from kubernetes import client

from ebbtide.infra.lifecycle.reaper import reap
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Access, Request
from ebbtide.infra.platforms.kubernetes.clusters import fencing
from ebbtide.infra.platforms.kubernetes.tending import tender
from tests.helpers import wait_until
from tests.kubernetes.fault_stage import Flow, Stage
from tests.kubernetes.lab import faults
from tests.kubernetes.lab import relay as relays
from tests.kubernetes.lab.place import Lab
from tests.kubernetes.lab.relay import Relay

VERSION = Request(path="/version")


class Account:
    """The namespace's own, which may do all there; its token is in a file, as a pod has it."""

    def __init__(self, lab: Lab, api: client.ApiClient, space: str, folder: Path):
        self._api, self._space, self.file = api, space, folder / "token"
        self._number = 0
        role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole"}
        body = {
            "metadata": {"name": "all"},
            "roleRef": {**role, "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": space}],
        }
        client.RbacAuthorizationV1Api(api).create_namespaced_role_binding(space, body)
        self.renew()
        found = json.loads(lab.kubeconfig.read_text())
        found["users"][0]["user"] = {"tokenFile": str(self.file)}
        self.kubeconfig = folder / "bound.kubeconfig"
        self.kubeconfig.write_text(json.dumps(found))

    def expire(self) -> None:
        """From now on, or within the 10 s that the API server remembers it, it is refused."""
        faults.expire(self._api, self._space, f"token-{self._number}")

    def renew(self) -> None:
        """Another token is in the file."""
        self._number += 1
        self.file.write_text(faults.token(self._api, self._space, f"token-{self._number}"))


@pytest.fixture
def account(lab: Lab, api: client.ApiClient, stage: Stage) -> Account:
    return Account(lab, api, stage.api.namespace, stage.folder)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow gives its API server up after a quarter of a minute, not after two."""
    monkeypatch.setattr(tender, "_PATIENCE_S", 15.0)


def test_refused_token_is_read_again_from_its_file(
    stage: Stage, relay: Relay, account: Account
) -> None:
    """Nobody says that there is another one."""
    file = relay.kubeconfig(stage.folder, tokenFile=str(account.file))
    with contextlib.closing(Api(Access(kubeconfig=str(file)))) as there:
        there.send(VERSION)
        relay.strike(relays.UNAUTHORIZED, times=1)
        account.renew()
        assert there.send(VERSION).status == 200
        relay.strike(relays.UNAUTHORIZED, times=1)
        with pytest.raises(ApiError) as refused:
            there.send(VERSION)
        assert refused.value.expired


def test_run_goes_on_while_its_credentials_are_not_taken(stage: Stage, relay: Relay) -> None:
    there = stage.with_kubeconfig(relay.kubeconfig(stage.folder))
    flow = Flow(there, there.counts("refused", 14))
    flow.says("begun")
    relay.strike(relays.UNAUTHORIZED)
    relay.cut()
    threading.Event().wait(11)
    relay.heal()
    ended = flow.ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert ended.files == {"kept.txt": "kept"}
    assert len(ended.warnings("credentials")) == 1
    assert stage.left() == []


@pytest.mark.long
def test_run_goes_on_with_a_token_that_is_renewed_after_its_end(
    stage: Stage, account: Account
) -> None:
    there = stage.with_kubeconfig(account.kubeconfig)
    flow = Flow(there, there.counts("renewed", 45, lease_s=30))
    flow.says("begun")
    account.expire()
    threading.Event().wait(25)
    account.renew()
    ended = flow.ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert stage.left() == []


@pytest.mark.long
def test_flow_with_a_new_token_adopts_the_program_of_one_whose_token_ended(
    stage: Stage, account: Account, impatient: None
) -> None:
    there = stage.with_kubeconfig(account.kubeconfig)
    spec = there.counts("succeeded", 60, lease_s=120)
    flow = Flow(there, spec)
    flow.says("begun")
    account.expire()
    assert flow.ended().reason is Reason.NO_RIGHTS
    ended = Flow(stage, spec).ended()
    assert (ended.error, ended.attempts, ended.started) == (None, [], 1)
    assert ended.counted_once()
    assert stage.left() == []


@pytest.mark.long
def test_run_whose_token_is_never_renewed_says_so_and_is_released_by_whoever_looks(
    stage: Stage, account: Account, impatient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = stage.with_kubeconfig(account.kubeconfig)
    flow = Flow(there, there.counts("expired", 60))
    flow.says("begun")
    account.expire()
    ended = flow.ended()
    assert ended.reason is Reason.NO_RIGHTS
    assert "does not take these credentials any more" in str(ended.error)
    assert "begun" in ended.stdout
    monkeypatch.setattr(fencing, "me", lambda: "another process")
    wait_until(lambda: (reap(stage.settings), stage.left() == [])[1], 60, "the reaper releases it")
