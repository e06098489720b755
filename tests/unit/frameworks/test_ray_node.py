"""What a node of Ray is started with."""

from __future__ import annotations

import socket

import pytest

from ebbtide.infra.frameworks.ray import node


def test_agents_get_ports_that_differ_and_that_nobody_listens_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setattr(node, "_PORTS", range(port, port + 40))
        ports = node.free_ports(4)
    assert len(set(ports)) == 4
    assert port not in ports
