"""Users of one machine see what each other's clusters hold, and nobody can block anybody by it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ebbtide.flows.cli import main as cli
from ebbtide.infra.models.hardware import Neighbours
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.resources import Resources
from ebbtide.infra.platforms.local import neighbours as module
from ebbtide.infra.platforms.local.neighbours import (
    HIDDEN,
    name_for,
    neighbours,
    read_name,
)
from ebbtide.infra.presentation.tables import others
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from tests.clusters import POOL, TIER, cluster_spec, run_spec, standing
from tests.helpers import marked_processes, wait_until
from tests.security.conftest import OtherUser

GIB = 2**30
SLEEP = shutil.which("sleep") or "/bin/sleep"

Claims = Callable[[str], None]


@pytest.fixture
def claims(other_user: OtherUser) -> Iterator[Claims]:
    """A process of the other user whose name claims something; any user can do that."""
    started = []

    def start(name: str) -> None:
        program = other_user.home / name
        other_user.run("cp", SLEEP, str(program), check=True)
        process = other_user.start(str(program), "600")
        started.append(process)
        comm = Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text() == name[:15] + "\n", 10, "it has its name")

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize(
    ("cpu", "memory", "name"),
    [
        (1250, 4.6, "ebb 1.25c 4.6g"),
        (250, 0.586, "ebb 0.25c 0.6g"),
        (12_250, 48.5, "ebb 12.2c 48g"),
        (125, 1, "ebb 0.125c 1.0g"),
        (256_000, 2048, "ebb 256c 2048g"),
    ],
)
def test_a_name_says_it_within_15_bytes_and_is_read_again(
    cpu: int, memory: float, name: str
) -> None:
    assert name_for(Resources(cpu, round(memory * GIB))) == name
    assert len(name.encode()) <= 15
    again = read_name(name)
    assert again is not None
    assert again.cpu_millis == pytest.approx(cpu, rel=0.01)
    assert again.memory_bytes == pytest.approx(memory * GIB, rel=0.05)


@pytest.mark.parametrize(
    "name", ["python3", "ebb", "ebb -1c 4g", "ebb 1c 4g x", "ebb 1e9c 4g", "ebb ١c 4g"]
)
def test_other_names_claim_nothing(name: str) -> None:
    assert read_name(name) is None


def test_everybody_can_read_what_a_cluster_holds(ebb_home: Path, other_user: OtherUser) -> None:
    with standing(ebb_home, run_spec("seen", cluster_spec("dask"))):
        both = TIER.resources.times(2)
        (pid,) = [
            process.pid
            for process in marked_processes(ebb_home)
            if "ebbtide.infra.platforms.local.supervisor.main" in process.command
        ]
        said = other_user.run("cat", f"/proc/{pid}/comm", check=True).stdout
        assert said == name_for(both) + "\n"
        environ = other_user.run("cat", f"/proc/{pid}/environ")
        assert environ.returncode != 0, "and nothing else of it"


def test_what_others_hold_is_shown_with_their_name(
    ebb_home: Path,
    other_user: OtherUser,
    claims: Claims,
    capsys: pytest.CaptureFixture[str],
) -> None:
    claims("ebb 1.25c 4.6g")
    claims("ebb 0.75c 1.4g")
    (claim,) = [each for each in neighbours(ebb_home).claims if each.user == other_user.name]
    assert (claim.clusters, claim.amount.cpu_millis, claim.mine) == (2, 2000, False)
    sentence = f"2 CPU, 6 GiB of this machine are held by user {other_user.name}'s clusters"
    assert claim.message == sentence
    assert cli.main(["nodes"]) == 0
    assert re.search(rf"^{other_user.name} +2 +2 +6 GiB", capsys.readouterr().out, re.MULTILINE)
    assert cli.main(["nodes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["others"]
    assert {"user": other_user.name, "mine": False, "clusters": 2} in [
        {key: entry[key] for key in ("user", "mine", "clusters")} for entry in listed
    ]
    cli.main(["doctor"])
    assert sentence in capsys.readouterr().out


def test_a_claim_of_everything_blocks_nobody_but_is_noted(
    ebb_home: Path, other_user: OtherUser, claims: Claims
) -> None:
    claims("ebb 9999c 9999g")
    with standing(ebb_home, run_spec("beside", cluster_spec("dask"))) as stand:
        said = f"9999 CPU, 9.76 TiB of this machine are held by user {other_user.name}'s clusters"
        assert said in " ".join(stand.messages("note"))


def test_why_a_run_waits_names_who_else_holds_the_machine(
    ebb_home: Path, other_user: OtherUser, claims: Claims, capsys: pytest.CaptureFixture[str]
) -> None:
    claims("ebb 1.25c 4.6g")
    full = cluster_spec("none", pool=POOL, tier=TIER)
    greedy = cluster_spec("none", tier=replace(TIER, resources=POOL.capacity), pool=POOL)
    with standing(ebb_home, run_spec("first", full)) as stand:
        spec = runs.begin(Ledger(ebb_home), run_spec("second", greedy))
        waiting = stand.attempt.platform.declare(spec, 1)
        ledger = Ledger(ebb_home)
        wait_until(
            lambda: [e for e in ledger.events(RunName("second")) if e.kind == "step_waiting"],
            20,
            "it says why it waits",
        )
        cli.main(["why", "second"])
        said = capsys.readouterr().out
        stand.attempt.platform.release(waiting, None)
        wait_until(lambda: not ledger.living_clusters(RunName("second")), 20, "it is released")
    assert "besides, " in said
    assert f"1.25 CPU, 4.6 GiB of this machine are held by user {other_user.name}" in said


def test_another_home_of_mine_is_seen_and_this_one_is_no_neighbour(
    ebb_home: Path, tmp_path: Path
) -> None:
    with standing(ebb_home, run_spec("mine", cluster_spec("none"))):
        amount = TIER.resources

        def mine(home: Path) -> int:
            found = [claim for claim in neighbours(home).claims if claim.mine]
            return sum(claim.clusters for claim in found)

        wait_until(lambda: mine(tmp_path) > mine(ebb_home), 10, f"{amount} are seen from elsewhere")
        assert not [c for c in neighbours(ebb_home).claims if str(ebb_home) in c.message]


def test_where_others_cannot_be_seen_it_is_said(
    ebb_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "_name_of", lambda _: "")
    assert neighbours(ebb_home) == Neighbours((), hidden=HIDDEN)
    assert others(neighbours(ebb_home)).empty == HIDDEN
    assert cli.main(["nodes"]) == 0
    assert HIDDEN in capsys.readouterr().err
    cli.main(["doctor"])
    assert HIDDEN in capsys.readouterr().out
