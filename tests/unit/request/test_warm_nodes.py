"""``warm`` of a pool: how many of its nodes are to be up and free."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Catalog, Machine, load_catalog

NODES = "platform: kubernetes, nodes: 0..4, node-cpu: 8, node-memory: 32Gi"


def load(folder: Path, pool: str) -> Catalog:
    path = folder / "ebb.yaml"
    tiers = "tiers: {small: {cpu: 1, memory: 1Gi}}"
    path.write_text(f"pools: {{cpu: {{{pool}}}}}\n{tiers}\n")
    return load_catalog(path, Machine(Resources(4000, 2**34)))[0]


@pytest.mark.parametrize(("written", "warm"), [("", 0), (", warm: 0", 0), (", warm: 4", 4)])
def test_it_is_a_number_of_nodes(tmp_path: Path, written: str, warm: int) -> None:
    assert load(tmp_path, NODES + written).pool("cpu").warm == warm


@pytest.mark.parametrize(
    ("pool", "says"),
    [
        (f"{NODES}, warm: 5", "pools.cpu.warm: it is more than the 4 nodes that the pool can have"),
        (f"{NODES}, warm: some", "pools.cpu.warm: 'some' is not a number of nodes"),
        (
            "platform: kubernetes, cpu: 8, memory: 32Gi, warm: 1",
            "pools.cpu.warm: its nodes are not known",
        ),
        ("platform: local, warm: 1", "pools.cpu.warm: only a pool of platform kubernetes has it"),
    ],
)
def test_what_cannot_be_is_said(tmp_path: Path, pool: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, pool)
    assert says in [each.summary.partition("ebb.yaml: ")[2] for each in caught.value.problems]
