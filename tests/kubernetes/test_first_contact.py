"""What ``make lab`` leaves in the user's kubeconfig, and the catalog that it writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from ebbtide.infra.models.resources import Resources
from ebbtide.infra.request.catalog import Machine, load_catalog
from tests.kubernetes.lab import first_contact
from tests.kubernetes.lab.place import NODE, Lab

LAB: dict[str, Any] = {
    "clusters": [{"name": "lab", "cluster": {"server": "https://10.213.1.2:6443"}}],
    "users": [{"name": "admin", "user": {"client-key": "admin.key"}}],
}
OTHERS = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "prod", "cluster": {"server": "https://prod"}}],
    "users": [{"name": "me", "user": {"token": "t"}}],
    "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
    "current-context": "prod",
}
NAME = "ebb-lab"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".kube" / "config"


@pytest.fixture
def others(path: Path) -> Path:
    path.parent.mkdir()
    path.write_text(json.dumps(OTHERS))
    return path


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


def test_where_there_was_none_the_labs_context_is_the_current_one(path: Path) -> None:
    assert first_contact.add_context(path, NAME, LAB) == NAME
    (context,) = read(path)["contexts"]
    assert context["context"] == {"cluster": NAME, "user": NAME, "namespace": "ebb"}


def test_the_file_is_its_owners_only(path: Path) -> None:
    first_contact.add_context(path, NAME, LAB)
    assert path.stat().st_mode & 0o077 == 0


def test_a_current_context_of_ones_own_stays(others: Path) -> None:
    assert first_contact.add_context(others, NAME, LAB) == "prod"
    assert [each["name"] for each in read(others)["contexts"]] == ["prod", NAME]


def test_twice_is_as_once(others: Path) -> None:
    for _ in range(2):
        first_contact.add_context(others, NAME, LAB)
    assert [each["name"] for each in read(others)["users"]] == ["me", NAME]


def test_taken_out_again_all_is_as_before(others: Path) -> None:
    first_contact.add_context(others, NAME, LAB)
    first_contact.remove_context(others, NAME)
    assert read(others) == OTHERS


def test_the_current_context_goes_with_the_lab(path: Path) -> None:
    first_contact.add_context(path, NAME, LAB)
    first_contact.remove_context(path, NAME)
    assert read(path)["current-context"] == ""


def test_nothing_is_made_where_nothing_was(path: Path) -> None:
    first_contact.remove_context(path, NAME)
    assert not path.exists()


def test_a_link_stays_a_link(others: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(others)
    first_contact.add_context(link, NAME, LAB)
    assert (link.is_symlink(), len(read(others)["contexts"])) == (True, 2)


@pytest.mark.parametrize(
    ("named", "found"),
    [("", ".kube/config"), ("missing:there", "there"), ("missing:last", "last")],
)
def test_the_file_is_the_one_that_kind_would_write(tmp_path: Path, named: str, found: str) -> None:
    (tmp_path / "there").touch()
    whole = ":".join(str(tmp_path / each) for each in named.split(":")) if named else ""
    environ = {"HOME": str(tmp_path), "KUBECONFIG": whole}
    assert first_contact.kubeconfig_path(environ) == tmp_path / found


def test_a_lab_of_tests_leaves_everything_as_it_is(
    monkeypatch: pytest.MonkeyPatch, others: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(others))
    first_contact.prepare(Lab("tests-1"), print)
    first_contact.forget(Lab("tests-1"))
    assert read(others) == OTHERS


def test_the_catalog_is_one_that_ebb_reads(tmp_path: Path) -> None:
    pool = first_contact.pool_of({"cpu": "2", "memory": "16393216Ki"})
    path = tmp_path / "ebb.yaml"
    path.write_text(first_contact.catalog_text(pool, {"dask": "ebb-dask:1"}))
    catalog, _ = load_catalog(path, Machine(Resources(1000, 2**30)))
    (found,) = catalog.pools
    assert (found.min_nodes, found.max_nodes, found.node) == (0, 1, Resources(2000, 15 * 2**30))
    assert (found.image("dask"), catalog.default_tier) == ("ebb-dask:1", "small")
    assert found.selector == {pool.label: pool.name}


def test_the_pools_one_machine_is_the_real_node() -> None:
    pool = first_contact.pool_of({"cpu": "2", "memory": "16393216Ki"})
    assert (pool.node, pool.least, pool.most) == (NODE, 0, 1)
