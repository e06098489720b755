"""A program's output as a typed value: what is wrong with it is said in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import BaseModel

from ebbtide.infra.errors import JobError
from ebbtide.infra.lifecycle.outcome import RunResult
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.ledger import Ledger


class Model(BaseModel):
    name: str
    error: float


@dataclass
class Plain:
    name: str
    error: float


@pytest.fixture
def result(tmp_path: Path) -> RunResult:
    output = tmp_path / "runs" / "calm-otter" / "output"
    output.mkdir(parents=True)
    ledger = Ledger(tmp_path)
    ledger.reserve(Run(name=RunName("calm-otter"), spec_json="{}"))
    ledger.update_run(RunName("calm-otter"), job_key="flow/train")
    ledger.close()
    return RunResult(
        run="calm-otter",
        phase=Phase.SUCCEEDED,
        reason=None,
        detail="",
        exit_code=0,
        output_dir=output,
        home=tmp_path,
    )


@pytest.mark.parametrize("kind", [Model, Plain])
def test_output_becomes_a_model_or_a_dataclass(result: RunResult, kind: type) -> None:
    (result.output_dir / "m.json").write_text('{"name": "a", "error": 1}')
    assert result.output("m.json", kind) == kind(name="a", error=1.0)


def test_wrong_fields_are_named(result: RunResult) -> None:
    (result.output_dir / "m.json").write_text('{"error": "big"}')
    with pytest.raises(JobError, match=r"name: Field required; error: Input should be") as error:
        result.output("m.json", Model)
    assert error.value.reason is Reason.OUTPUT_INVALID


def test_a_missing_file_is_told_with_what_is_there(result: RunResult) -> None:
    (result.output_dir / "modle.json").touch()
    with pytest.raises(JobError, match=r"calm-otter wrote no model\.json") as error:
        result.output("model.json", Model)
    assert "modle.json" in error.value.hint


def test_work_with_a_wrong_output_counts_as_not_done(result: RunResult, tmp_path: Path) -> None:
    with pytest.raises(JobError):
        result.output("model.json", Model)
    assert Ledger(tmp_path).run_of("flow/train") is None


def test_in_a_notebook_it_is_text_and_what_was_written_is_named(result: RunResult) -> None:
    (result.output_dir / "<b>.json").write_text("{}")
    shown = result._repr_html_()
    assert "calm-otter · Succeeded" in shown
    assert "(&lt;b&gt;.json)" in shown
    assert "<b>" not in shown
