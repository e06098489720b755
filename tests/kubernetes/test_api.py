"""What the rest of the platform asks of an API server, on a real one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kubernetes import client

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.platforms.kubernetes.api import SIZES, Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, as_ebb_error
from ebbtide.infra.platforms.kubernetes.client import Access, Request
from ebbtide.infra.platforms.kubernetes.credentials.plain import Plain
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, DEPLOYMENT, POD, SECRET, Object
from tests.helpers import wait_until
from tests.kubernetes import workloads

LABELS = {"app": "x"}


def config_map(name: str = "one", **data: str) -> Object:
    metadata = {"name": name, "labels": LABELS}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def pod(script: str) -> Object:
    container = {
        "name": "main",
        "image": workloads.image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["/bin/sh", "-c", script],
    }
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    metadata, spec = {"name": "works"}, workloads.harmless(spec)
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def runs(api: Api) -> bool:
    found = api.get(POD, "works")
    return found is not None and found["status"]["phase"] == "Running"


def test_what_is_made_twice_is_there_already(here: Api) -> None:
    here.create(config_map(a="1"))
    with pytest.raises(ApiError) as refused:
        here.create(config_map(a="2"))
    assert refused.value.exists
    found = here.get(CONFIG_MAP, "one")
    assert found is not None
    assert found["data"] == {"a": "1"}


def test_applied_again_it_is_what_it_should_be(here: Api) -> None:
    here.apply(config_map(a="1", b="1"))
    assert here.apply(config_map(a="2"))["data"] == {"a": "2"}


def test_a_size_that_another_manager_owns_stays_when_it_is_applied_again(here: Api) -> None:
    template = {"metadata": {"labels": LABELS}, "spec": pod("true")["spec"]}
    spec = {"selector": {"matchLabels": LABELS}, "template": template}
    metadata = {"name": "work", "labels": LABELS}
    thing = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}
    assert here.apply(thing)["spec"]["replicas"] == 1
    here.merge(DEPLOYMENT, "work", {"spec": {"replicas": 0}}, manager=SIZES)
    assert here.apply(thing)["spec"]["replicas"] == 0


def test_what_has_changed_since_it_was_read_is_not_overwritten(here: Api) -> None:
    read = here.create(config_map(a="1"))
    here.merge(CONFIG_MAP, "one", {"data": {"a": "2"}})
    with pytest.raises(ApiError) as refused:
        here.replace({**read, "data": {"a": "3"}})
    assert refused.value.conflict
    assert not refused.value.exists


def test_what_is_not_there_is_none_and_deleting_it_is_no_error(here: Api) -> None:
    assert here.get(CONFIG_MAP, "nothing") is None
    assert here.merge(CONFIG_MAP, "nothing", {"data": {}}) is None
    assert here.delete(CONFIG_MAP, "nothing") is False


def test_all_with_a_label_are_listed_page_by_page_and_deleted_together(here: Api) -> None:
    for number in range(3):
        here.create(config_map(f"n{number}"))
    listed = here.list(CONFIG_MAP, {"app": "*"}).items
    assert {thing["metadata"]["name"] for thing in listed} == {"n0", "n1", "n2"}
    assert listed[0]["kind"] == "ConfigMap"
    here.delete(CONFIG_MAP, labels=LABELS)
    assert here.list(CONFIG_MAP, LABELS).items == []


def test_a_watch_goes_on_from_the_version_of_a_list(here: Api) -> None:
    listed = here.list(CONFIG_MAP, LABELS)
    here.create(config_map(a="1"))
    here.delete(CONFIG_MAP, "one")
    changes = here.watch(CONFIG_MAP, listed.version, labels=LABELS, timeout_s=30)
    assert [next(changes)[0], next(changes)[0]] == ["ADDED", "DELETED"]


def test_a_command_in_a_container_gets_its_stdin_and_gives_its_exit_code(here: Api) -> None:
    here.create(pod("echo printed; exec sleep 600"))
    wait_until(lambda: runs(here), 60, "the pod runs")
    printed = b"".join(here.logs("works", "main"))
    assert printed == b"printed\n"
    with here.run("works", "main", ["/bin/sh", "-c", "head -c 6; exit 3"]) as command:
        command.write(b"abc" + b"def")
        said = b""
        while (piece := command.read(30)) is not None:
            said += piece
        assert (said, command.code) == (b"abcdef", 3)


def test_a_refusal_says_which_rights_to_look_for(here: Api, api: client.ApiClient) -> None:
    here.create({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "poor"}})
    assert here.may("create", SECRET)
    error = ApiError(403, "Forbidden", 'secrets is forbidden: User "x" cannot list')
    meant = as_ebb_error(error, doing="look at secrets")
    assert isinstance(meant, ConfigurationError)
    assert "doctor" in meant.hint


def test_a_server_that_is_not_there_is_unreachable_after_its_patience(here: Api) -> None:
    assert isinstance(here._credentials, Plain)
    here._credentials = replace(here._credentials, server="https://127.0.0.1:1")
    with pytest.raises(ApiError) as refused:
        here.ask(Request(path="/version"), patience_s=0.5)
    assert refused.value.unreachable
    assert as_ebb_error(refused.value).retryable


def test_a_namespace_that_is_gone_is_told_apart(here: Api) -> None:
    here.namespace = "no-such-namespace"
    with pytest.raises(ApiError) as refused:
        here.create(config_map())
    assert refused.value.namespace_gone


def test_a_context_that_does_not_exist_is_told_with_how_to_list_them() -> None:
    with pytest.raises(ConfigurationError) as refused:
        Api(Access(kubeconfig="/nonexistent", context="nobody"))
    assert "get-contexts" in refused.value.hint
