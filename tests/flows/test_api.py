"""Ebb from Python: with a real cluster."""

from __future__ import annotations

import base64
import contextlib
import http.client
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from ebbtide import Cluster, cluster, run
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.phases import Phase
from ebbtide.infra.platforms.local.platform import LocalPlatform
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from tests.helpers import wait_until


def test_cluster_is_there_inside_the_block_and_gone_after_it(ebb_home: Path) -> None:
    with cluster("dask", workers=(1, 2), lease="5s") as held:
        assert held.client.submit(sum, [1, 2, 3]).result() == 6
        assert held.workers == 1
        assert asked(held, None) == 401
        assert dashboard_starts(held) <= {200, 503}
        assert repr(held) == f"<ebb cluster {held.name}: dask, 1 worker, {held.dashboard}>"
        assert f"ebb open {held.name}" in held._repr_html_()
    assert held.dashboard_auth is None
    assert "released" in held._repr_html_()
    assert LocalPlatform(Settings(home=ebb_home)).held() == []
    (row,) = Ledger(ebb_home).rows("SELECT phase, exit_code FROM runs")
    assert (row["phase"], row["exit_code"]) == ("Succeeded", 0)


def test_cluster_is_gone_after_an_exception_that_stays_the_users_own(ebb_home: Path) -> None:
    with pytest.raises(ZeroDivisionError), cluster("dask", workers=1, lease="5s"):
        raise ZeroDivisionError
    assert LocalPlatform(Settings(home=ebb_home)).held() == []
    (row,) = Ledger(ebb_home).rows("SELECT reason FROM runs")
    assert row["reason"] == "JOB:EXIT_CODE"


@pytest.mark.usefixtures("prefect_api")
def test_run_gives_the_result_of_the_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\nopen(os.environ['EBB_OUTPUT_DIR'] + '/x', 'w').write(sys.argv[1])\n"
    )
    result = run(str(program), "word", framework="none")
    assert (result.succeeded, result.phase, result.exit_code) == (True, Phase.SUCCEEDED, 0)
    assert (result.output_dir / "x").read_text() == "word"


def test_all_problems_come_at_once_and_nothing_is_made(ebb_home: Path) -> None:
    with pytest.raises(ConfigurationError) as error:
        run("missing.py", framework="dusk", workers="4..1")
    assert len(error.value.problems) == 3
    assert Ledger(ebb_home).rows("SELECT * FROM runs") == []


def dashboard_starts(held: Cluster) -> set[int]:
    """What it has said to its owner until it was there: it starts after the cluster."""
    said: set[int] = set()

    def there() -> bool:
        said.add(asked(held, held.dashboard_auth))
        return 200 in said

    wait_until(there, 60, "the dashboard is there")
    return said


def asked(held: Cluster, auth: tuple[str, str] | None) -> int:
    """What the dashboard says to somebody who knows this."""
    where = urlsplit(held.dashboard)
    known = base64.b64encode(":".join(auth or ("ebb", "guess")).encode()).decode()
    connection = http.client.HTTPConnection(where.netloc, timeout=20)
    with contextlib.closing(connection):
        connection.request("GET", where.path, headers={"Authorization": f"Basic {known}"})
        return connection.getresponse().status
