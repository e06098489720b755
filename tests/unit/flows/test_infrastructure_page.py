"""The page of the infrastructure: the tables of ``ebb nodes``, and what could not be looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebbtide.flows import infrastructure
from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.lifecycle.inventory import Overview, PoolState
from ebbtide.infra.models.hardware import Node, OtherPods
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.resources import Resources
from tests.clusters import POOL

FAR = replace(POOL, name="far", platform="kubernetes", max_nodes=4)
NODE = Node(
    name="n1",
    capacity=POOL.capacity,
    instance_type="m5.xlarge",
    others=OtherPods(count=2, requested=Resources(500, 2**30)),
)
SEEN = Overview(
    at=0.0,
    source="ebb.yaml",
    pools=(PoolState(pool=FAR, nodes=(NODE,)),),
    tiers=(),
    shares=(),
    queue=(),
    clusters=(),
    not_shown=("pods of *others* may not be listed",),
)


def test_page_has_what_is_requested_of_nodes_and_what_is_not_shown() -> None:
    page = infrastructure.page_of(SEEN)
    assert "| far | kubernetes | 1 of 0..4 |" in page
    assert "## Requests and load" in page
    assert "| n1 | far | m5.xlarge |" in page
    assert "| 2 | 0.5 CPU, 1 GiB |" in page
    assert "\n\nnot shown: pods of \\*others\\* may not be listed\n\n" in page


def test_page_is_made_without_a_kubernetes_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def silent(*_: Any) -> None:
        raise ProvisioningError(Reason.API_UNREACHABLE)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(infrastructure, "catalog_of_all", silent)
    assert [pool.platform for pool in infrastructure._catalog().pools] == ["local"]
