"""A change of an object while others write it, and what a refusal means to a user."""

from __future__ import annotations

import pytest

from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api_error import ApiError, as_ebb_error
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP
from tests.api_server import InMemoryApi, Server

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "1"}}


class Contested(Server):
    """Somebody else is always quicker, so many times."""

    def __init__(self, times: int):
        super().__init__(before=self.refuse)
        self.times = times

    def refuse(self, request: Request) -> None:
        if request.method == "PATCH" and self.times:
            self.times -= 1
            raise ApiError(409, "Conflict", "the object has been modified", asked=str(request))


def test_a_change_that_holds_whatever_was_there_is_made_again() -> None:
    api = InMemoryApi(Contested(3))
    api.create(MAP)
    changed = api.merge(CONFIG_MAP, "one", {"data": {"a": "2"}})
    assert changed is not None
    assert api.apply({**MAP, "data": {"a": "3"}})["data"] == {"a": "3"}


def test_a_change_of_what_was_read_is_not() -> None:
    server = Contested(1)
    api = InMemoryApi(server)
    read = api.create(MAP)
    same = {"resourceVersion": read["metadata"]["resourceVersion"]}
    with pytest.raises(ApiError) as refused:
        api.merge(CONFIG_MAP, "one", {"metadata": same, "data": {"a": "2"}})
    assert refused.value.conflict
    assert server.methods() == ["POST", "PATCH"]


def test_others_who_always_write_it_are_no_silent_server() -> None:
    error = ApiError(409, "Conflict", "the object has been modified")
    assert as_ebb_error(error, doing="declare the cluster").reason is Reason.LAUNCH_FAILED


def test_credentials_that_have_ended_are_told_from_ones_that_never_were_any() -> None:
    never, ended = (ApiError(401, "Unauthorized", "Unauthorized") for _ in range(2))
    ended.expired = True
    assert (never.passing, ended.passing) == (False, True)
    assert as_ebb_error(never).reason is as_ebb_error(ended).reason is Reason.NO_RIGHTS
    assert "any more" in str(as_ebb_error(ended))
