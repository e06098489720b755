"""A client outside of its cluster's pods, whose versions are compared with those of the image."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.frameworks import door
from ebbtide.infra.frameworks.base import load_framework
from ebbtide.infra.frameworks.versions import Versions, own_versions
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.inside.begin import versions as asked
from ebbtide.infra.platforms.kubernetes.sessions import versions
from ebbtide.infra.platforms.kubernetes.sessions.versions import check_client
from ebbtide.infra.platforms.kubernetes.tending.head import Through
from ebbtide.infra.version import VERSION
from tests.unit.platforms.kubernetes.here import Pod

DASK = load_framework("dask")
MINE = own_versions("distributed")


@pytest.fixture
def connect(pod: Pod) -> Callable[[], socket.socket]:
    """A way to the store beside a head, of this interpreter."""
    places = ("--packages", str(pod.folder / "packages"), "--secrets", str(pod.folder / "door"))
    store = pod.start("files", "--bind", "127.0.0.1", "--port", "0", *places)
    assert store.stdout is not None
    host, _, port = store.stdout.readline().split()[-1].decode().rpartition(":")
    return lambda: socket.create_connection((host, int(port)))


@pytest.fixture
def secret(pod: Pod) -> str:
    return door.read_secret(pod.folder / "door")


def refusal(*how: Any) -> str:
    with pytest.raises(ConfigurationError) as error:
        check_client(*how)
    (problem,) = error.value.problems
    assert problem.reason is Reason.VERSIONS_DIFFER
    assert "image" in problem.hint
    return problem.summary


def test_client_with_the_versions_of_the_image_may_connect(
    connect: Callable[[], Any], secret: str
) -> None:
    check_client(connect, DASK, secret)


@pytest.mark.parametrize("other", [Versions("3.9.2", MINE.package), Versions(MINE.python, "1.0")])
def test_client_of_another_python_or_framework_is_told_both(
    connect: Callable[[], Any], secret: str, monkeypatch: pytest.MonkeyPatch, other: Any
) -> None:
    monkeypatch.setattr(versions, "own_versions", lambda _: other)
    assert refusal(connect, DASK, secret) == (
        f"this process is {other.named('distributed')},"
        f" the cluster's image has {MINE.named('distributed')}"
    )


def test_client_of_another_ebb_is_told_both(
    connect: Callable[[], Any], secret: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "VERSION", "7.0.0")
    summary = f"this process has Ebb 7.0.0, the cluster's image has Ebb {VERSION}"
    assert refusal(connect, DASK, secret) == summary


def test_image_of_before_this_was_said_is_compared_in_what_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    body = b'{"python": "3.11.7", "package": "1.0"}'
    assert asked.read_answer(body) == (Versions("3.11.7", "1.0"), "")
    assert asked.read_answer(b"not found") is None
    monkeypatch.setattr(Through, "ask", lambda *_: (404, b""))
    check_client(lambda: None, DASK, "")


def test_store_that_does_not_answer_leaves_it_to_the_client_to_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Through, "ask", lambda *_: (502, b""))
    monkeypatch.setattr(versions, "_ANSWER_S", 0.1)
    check_client(lambda: None, DASK, "")
