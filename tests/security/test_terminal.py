"""Names, tags and reasons are shown as words; a program's own output is untouched."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.markdown import Markdown

from ebbtide.flows.cli import main as cli
from ebbtide.flows.cli.screen import TextScreen
from ebbtide.flows.infrastructure import page_of
from ebbtide.infra.accounting.receipts import receipt_of
from ebbtide.infra.errors import error_for
from ebbtide.infra.escaping import json_text, markdown, visible
from ebbtide.infra.lifecycle.inventory import gather
from ebbtide.infra.models.hardware import Claim, Neighbours
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.job import JobSpec
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Event, EventKind
from ebbtide.infra.models.usage import Span
from ebbtide.infra.presentation.receipt_text import receipt_markdown
from ebbtide.infra.presentation.tables import tables
from ebbtide.infra.records import runs
from ebbtide.infra.records.ledger import Ledger
from ebbtide.infra.settings import Settings
from ebbtide.tasks.plain_logs import message_of
from tests.clusters import TIER, cluster_spec, run_spec
from tests.stack.prefect import EBB, ROOT
from tests.unit.lifecycle.test_inventory import CATALOG

HERON = RunName("heron")
HERON_1 = ClusterId("heron-1")

NASTY = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\n✓ done\r\x7f\u2028\udc9b"
SHOWN = r"\x1b]0;owned\x07\x1b[2J\x9b31m\u202eevil\u2066\n✓ done\r\x7f\u2028\x9b"
PROGRAM = "import sys; sys.stdout.write('\\x1b[31mred\\x1b[0m\\x9b\\r\\n\\u202e[b]'); sys.exit(3)"


def unseen(text: str) -> set[str]:
    """What a terminal might obey."""
    return {sign for sign in text if sign != "\n" and not sign.isprintable()}


@pytest.fixture
def ledger(ebb_home: Path) -> Ledger:
    """A run whose every word that somebody chose is nasty, failed for a nasty reason."""
    ledger = Ledger(ebb_home)
    text = "".join(sign for sign in NASTY if sign != "\udc9b")  # the file holds text only
    job = JobSpec(argv=(sys.executable, text), workdir=f"/{text}", env={})
    nasty = cluster_spec("none", tier=replace(TIER, name=text))
    spec = replace(run_spec("heron", nasty), job=job, owner=text, tags=(text, f"[x]({text})"))
    runs.begin(ledger, spec)
    ledger.add_cluster(HERON_1, HERON, attempt=1, pool="test", lease_s=20)
    span = Span(
        cluster=HERON_1,
        owner="driver",
        tier=text,
        cpu_millis=250,
        memory_bytes=2**30,
        price_per_hour=1.0,
        began=1.0,
        ended=2.0,
    )
    ledger.write_usage(HERON_1, [span], [], 1)
    waiting = Event(run=HERON, kind=EventKind.STEP_WAITING, message=text)
    ledger.append(replace(waiting, reason=Reason.POOL_AT_MAX))
    ledger.append(Event(run=HERON, kind=EventKind.NOTE, message=text))
    runs.end(ledger, HERON, error_for(Reason.NOT_STARTED, detail=text, hint=text), 64)
    folder = ebb_home / "runs" / "heron"
    folder.mkdir(parents=True)
    (folder / "stderr.log").write_text(text)
    return ledger


COMMANDS = [
    ("why", "heron"),
    ("ps", "-a"),
    ("cost", "heron"),
    ("cost", "--by", "tag", "--since", "99999d"),
    ("cost", "--by", "job", "--since", "99999d"),
    ("cost", "--by", "tier", "--since", "99999d"),
    ("nodes",),
    ("held",),
    ("why", NASTY),
    ("run", "--framework", NASTY, NASTY),
    (NASTY,),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(map(visible, words))[:30])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_no_command_shows_what_a_terminal_obeys(
    ledger: Ledger, words: tuple[str, ...], as_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main([*words, *(["--json"] if as_json else [])])
    captured = capsys.readouterr()
    assert captured.out + captured.err
    assert unseen(captured.out + captured.err) == set()
    if as_json and captured.out:
        json.loads(captured.out)


def test_a_name_cannot_begin_a_line(ledger: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["why", "heron"])
    cli.main(["cost", "heron"])
    assert not [line for line in capsys.readouterr().out.splitlines() if line.startswith("✓")]


def test_text_is_shown_as_it_can_be_seen() -> None:
    assert visible(NASTY) == SHOWN
    assert visible("Größe · 5 → 7 ✓ 日本\u3000語\u00a0x") == "Größe · 5 → 7 ✓ 日本\u3000語\u00a0x"


def test_json_means_the_same() -> None:
    text = NASTY.replace("\udc9b", "")
    assert unseen(json_text({"a": text, "b": "→"})) == set()
    assert json.loads(json_text({"a": text, "b": "→"}, indent=2)) == {"a": text, "b": "→"}
    assert "→" in json_text({"b": "→"})
    json_text(NASTY).encode()


def test_the_screen_of_a_run(ledger: Ledger, tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w") as file:
        screen = TextScreen(file)
        screen.waiting(NASTY)
        screen.detached(NASTY)
        screen.ended([NASTY], {})
        for event in ledger.events(HERON):
            screen.event(replace(event, step=None, data={"detail": NASTY}), 1.0)
    assert unseen((tmp_path / "screen").read_text()) == set()


def test_a_program_with_such_a_name_runs_and_its_output_is_its_own(
    ebb_home: Path, tmp_path: Path
) -> None:
    name = "\x1b[2J\u202ep.py"
    (tmp_path / name).write_text(PROGRAM)
    environment = {
        **os.environ,
        "EBB_PREFECT_SERVER": "off",
        "PYTHONPATH": str(ROOT),
        "PYTHONUTF8": "1",
    }
    words = ("run", "--name", "one", "--framework", "none", "--tag", "\x9b1m", name)
    done = subprocess.run(
        [*EBB, *words], cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert done.returncode == 3, done.stderr
    own = "\x1b[31mred\x1b[0m\x9b\r\n\u202e[b]".encode()
    assert done.stdout == own
    said = done.stderr.decode()
    assert r"\x1b[2J\u202ep.py" in said
    assert unseen(said) == set()
    logs = subprocess.run([*EBB, "logs", "one"], env=environment, capture_output=True, check=True)
    assert logs.stdout == own


INJECTIONS = [
    "![x](https://evil.example/a.png)",
    "[click](https://evil.example)",
    "<img src=x onerror=alert(1)>",
    "https://evil.example",
    "www.evil.example",
    "me@evil.example",
    "a|b|c",
    "# title",
    "`code`",
    "**bold** __bold__ ~~gone~~",
    "&lt;script&gt;",
    "\\[x](https://evil.example)",
    "a\n\n# title",
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_markdown_shows_the_words_themselves(text: str) -> None:
    kinds = [token.type for token in Markdown(markdown(text)).parsed]
    (inline,) = [token for token in Markdown(markdown(text)).parsed if token.type == "inline"]
    assert kinds == ["paragraph_open", "inline", "paragraph_close"]
    assert {child.type for child in inline.children or ()} <= {"text", "text_special"}
    assert "".join(child.content for child in inline.children or ()) == visible(text)
    assert "https://" not in markdown(text)
    assert "www." not in markdown(text)


@pytest.mark.parametrize("text", INJECTIONS)
def test_pages_in_prefect_hold_no_more_than_words(
    ebb_home: Path, text: str, ledger: Ledger
) -> None:
    spec = replace(run_spec("stork", cluster_spec("none")), owner=text)
    runs.begin(ledger, spec)
    ledger.add_cluster(ClusterId("stork-1"), RunName("stork"), attempt=1, pool="test", lease_s=20)
    tiers = (*CATALOG.tiers, replace(TIER, name=text))
    overview = gather(Settings(ebb_home), replace(CATALOG, tiers=tiers, source=text))
    overview = replace(overview, neighbours=Neighbours((Claim(text, 1, TIER.resources),)))
    page = page_of(overview)
    receipt = receipt_of(ledger, HERON)
    assert receipt is not None
    page += receipt_markdown(replace(receipt, tier=text, framework=text, advice=text))
    found = [
        child.type
        for token in Markdown(page).parsed
        for child in token.children or ()
        if child.type not in ("text", "text_special", "softbreak", "strong_open", "strong_close")
    ]
    assert found == []
    assert page.count("\n# ") == 0
    assert len(tables(overview)) == page.count("\n## ") - 1


def test_a_log_line_in_prefect_is_one_line(ledger: Ledger) -> None:
    error = error_for(Reason.EXIT_CODE, detail=NASTY, hint=NASTY)
    assert unseen(message_of(error)) == set()
    assert "\n" not in message_of(error)


def test_a_status_line_takes_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    file = io.StringIO()
    monkeypatch.setattr(file, "isatty", lambda: True)
    screen = TextScreen(file)
    screen.waiting("[/red] [bold]x")  # an error of rich's where it is taken for markup
    screen._quiet()
    assert "[/red] [bold]x" in file.getvalue()
