"""The tables of README and documentation are what the committed result files give."""

from __future__ import annotations

import pytest

from benchmarks import tables
from benchmarks.compare import promised
from benchmarks.results import COMMITTED


def page(name: str) -> str:
    return (tables.ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", tables.PAGES)
def test_pages_have_the_tables_of_the_committed_results(name: str) -> None:
    assert tables.with_tables(page(name), COMMITTED) == page(name)


def test_every_table_has_its_place() -> None:
    found = [one["name"] for name in tables.PAGES for one in tables.REGION.finditer(page(name))]
    assert sorted(found) == sorted(tables.TABLES)


def test_readme_tells_how_a_start_compares_with_each_framework() -> None:
    assert set(promised(page("README.md"))) == {"dask", "ray", "spark"}
