"""What the tests of requests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.request.catalog import Catalog
from ebbtide.infra.request.spec import RequestContext, build_run_spec


@pytest.fixture
def on_kubernetes(tmp_path: Path) -> Callable[..., RunSpec]:
    """Makes the spec of ``ebb run --platform kubernetes train.py`` with a catalog and options."""

    def build_spec(catalog: Catalog, **cli: Any) -> RunSpec:
        (tmp_path / "train.py").touch()
        ask = RequestContext(
            argv=("train.py",),
            cli={"platform": "kubernetes", **cli},
            environ={},
            cwd=tmp_path,
            catalog=catalog,
            file_options={},
            installed=lambda _: [],
            platforms=("local", "kubernetes"),
            frameworks=("none", "dask"),
            random=Random(1),
        )
        return build_run_spec(ask)

    return build_spec
