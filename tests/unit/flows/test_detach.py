"""What ``ebb run --detach`` does where flows can, or cannot, live without this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.flows.cli.runs import run as command
from ebbtide.flows.launch import leave
from ebbtide.infra.errors import EbbError, error_for
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms import extras
from ebbtide.infra.platforms.extras import Finding, FlowMaker
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings
from tests.clusters import cluster_spec, run_spec

SPEC = replace(run_spec("heron", cluster_spec("none")), platform="kubernetes")


class Departure:
    """One as a test says."""

    spec = SPEC
    namespace = "team"

    def __init__(self, state: str):
        self.finding = Finding("detached runs", state, "it needs this machine", "apply flow.yaml")

    def hand_over(
        self,
        store: RunStore,
        run: RunName,
        waits: Callable[[str], bool],
        maker: FlowMaker | None = None,
    ) -> None:
        del store, waits, maker
        raise error_for(Reason.LAUNCH_FAILED, detail=f"{run} did not begin")


@pytest.mark.parametrize("state", ["ok", "warning"])
def test_a_flow_that_has_to_stay_says_what_that_means_and_how_to_mend_it(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    away = Departure(state)
    monkeypatch.setattr(command, "departure_of", lambda *_: away)
    found = command._departure(Settings(home=tmp_path), SPEC)
    said = "  ! it needs this machine; to mend it: apply flow.yaml\n"
    assert (found is away, capsys.readouterr().err) == (state == "ok", "" if found else said)


def test_a_platform_whose_clusters_need_this_machine_has_no_departure(tmp_path: Path) -> None:
    local: RunSpec = replace(SPEC, platform="local")
    assert extras.departure_of(local, Settings(home=tmp_path)) is None


def test_a_flow_that_does_not_come_names_its_run_and_has_left_nothing(tmp_path: Path) -> None:
    with pytest.raises(EbbError) as raised:
        leave(Ledger(tmp_path), Departure("ok"), RunName("heron"), bool)
    assert (raised.value.run, raised.value.released) == ("heron", True)
