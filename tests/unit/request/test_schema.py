"""The schema of ebb.yaml agrees with what reads the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Machine, load_catalog
from ebbtide.infra.request.ebb_yaml.keys import TABLES
from ebbtide.infra.request.ebb_yaml.schema import schema
from ebbtide.infra.request.options import OPTIONS
from tests.documentation import Block, blocks

SCHEMA = schema()
MACHINE = Machine(Resources(8000, 2**35))
TIER = "tiers: {a: {cpu: 1, memory: 1Gi}}\n"


def complaints(text: str) -> list[str]:
    return [
        error.message for error in Draft202012Validator(SCHEMA).iter_errors(yaml.safe_load(text))
    ]


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.page)
def test_it_takes_every_documented_file(block: Block) -> None:
    assert complaints(block.text) == []


@pytest.mark.parametrize(
    "text",
    [
        "poools: {}",
        "pools: {local: {platform: nowhere}}",
        "pools: {local: {cpus: 2}}",
        "tiers: {a: {cpu: 1, memory: 1Gi, gpus: -1}}",
        "tiers: {a: {cpu: 1, memory: 1Gi, price-per-hour: -1}}",
        "tiers: {a: {cpu: 1, memory: 1Gi, drain-budget: 10}}",
        "tiers: {a: {cpu: 1}}",
        "pools: {p: {platform: kubernetes, nodes: some, node-cpu: 1, node-memory: 1Gi}}",
        TIER + "pools: {local: {runs-waiting: 0}}",
        TIER + "run: {worker: 3}",
        TIER + "run: {bridge: perhaps}",
        TIER + "dask: {mode: other}",
        TIER + "kubernetes: {name: other}",
    ],
)
def test_what_it_refuses_is_refused_by_its_reader_too(text: str, tmp_path: Path) -> None:
    assert complaints(text)
    file = tmp_path / "ebb.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError):
        load_catalog(file, MACHINE)


def test_every_key_and_option_is_in_it_with_its_description() -> None:
    tops: dict[str, Any] = SCHEMA["properties"]
    for where, keys in TABLES.items():
        found = tops
        if where:
            part = tops[where.partition(".")[0]]
            found = (part["additionalProperties"] if where.endswith("NAME") else part)["properties"]
        assert {name: key["description"] for name, key in found.items()} == keys
    assert {name: key["description"] for name, key in tops["run"]["properties"].items()} == {
        name: option.help for name, option in OPTIONS.items()
    }
