"""Receipts in words, and the plot: what is said where, and that it is well-formed."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import Any

from ebbtide.infra.accounting.receipts import settle
from ebbtide.infra.models.job import PassedOver
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.presentation.plot import HEIGHT, WIDTH, svg_plot
from ebbtide.infra.presentation.receipt_text import (
    format_gpu_hours,
    receipt_data,
    receipt_lines,
    receipt_markdown,
    short_line,
)
from tests.unit.accounting.test_receipts import RECORD, sample, settled, span

UNPRICED = settle(replace(RECORD, spans=[replace(s, price_per_hour=0) for s in RECORD.spans]))


def test_a_receipt_says_cost_static_and_saved() -> None:
    assert "cost     0.1600 · static 0.4100 · saved 0.2500" in receipt_lines(settled())


def test_without_prices_it_says_so() -> None:
    assert "cost     no prices in the catalog" in receipt_lines(UNPRICED)
    assert short_line(UNPRICED) == "150 worker-seconds, 67 % used"


def test_the_short_line_has_the_cost_first() -> None:
    assert short_line(settled()).startswith("0.1600 (0.4100 if static) · 150 worker-seconds")


def test_gpu_hours_are_there_where_something_held_gpus() -> None:
    made = settle(replace(RECORD, spans=[replace(s, gpus=24) for s in RECORD.spans]))
    line = next(line for line in receipt_lines(replace(made, gpu_type="T4")) if "GPU" in line)
    assert line == "gpus     1.67 GPU-hours of T4 asked · static 0.00; their use is not measured"
    assert "1.67 GPU-hours" in short_line(made)
    assert "- **gpus** 1.67 GPU-hours asked" in receipt_markdown(made)
    assert (receipt_data(made)["gpu_s"], receipt_data(made)["gpu_type"]) == (6000, None)
    assert not any("GPU" in line for line in receipt_lines(settled()))
    assert format_gpu_hours(30) == "0.00833"


def test_use_that_nobody_measured_is_not_called_idle() -> None:
    silent = [replace(s, cpu_s=0.0) for s in RECORD.spans]
    made = settle(replace(RECORD, spans=silent, samples=()))
    text = "\n".join(receipt_lines(made))
    assert "150 worker-seconds asked · what was used is not known" in text
    assert re.search(r"^job +1m10s +120 +– +– +0\.1270$", text, re.MULTILINE)
    assert "150 worker-seconds, use not known" in short_line(made)
    assert (receipt_data(made)["measured"], receipt_data(settled())["measured"]) == (False, True)


def test_every_step_is_a_row() -> None:
    table = "\n".join(receipt_lines(settled()))
    assert re.search(r"^job +1m10s +120 +100 +20 +0\.1270$", table, re.MULTILINE)


def test_markdown_has_a_table_and_the_advice() -> None:
    text = receipt_markdown(replace(settled(), advice="do less"))
    assert "- **advice** do less" in text
    assert "| job | 1m10s | 120 | 100 | 20 | 0.1270 |" in text


def test_scripts_get_every_figure() -> None:
    data = receipt_data(settled())
    assert (data["asked_s"], data["used_s"], data["idle_s"]) == (150, 100, 50)
    assert data["steps"][1]["step"] == "run_user_job"


def drawn(*, wanted: int = 4, **more: Any) -> ET.Element:
    samples = [sample(n, 100.0 + 2 * n, 0, wanted=wanted, **more) for n in range(30)]
    return ET.fromstring(svg_plot(samples))


def words_of(svg: ET.Element) -> list[str]:
    return [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_the_plot_has_axes_with_units_and_a_legend() -> None:
    words = words_of(drawn())
    assert {"workers", "4", "100 %", "30s", "wanted", "joined", "CPU %", "memory %"} <= {*words}


def test_a_plain_program_has_no_workers_axis() -> None:
    assert "workers" not in words_of(drawn(wanted=0, joined=0))


def test_a_burst_stays_inside_the_picture() -> None:
    for path in drawn(cpu_percent=730).iter("{http://www.w3.org/2000/svg}path"):
        points = re.findall(r"(\d+\.\d),(\d+\.\d)", path.get("d") or "")
        assert all(0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT for x, y in points)


def test_one_sample_is_no_plot() -> None:
    assert svg_plot([sample(0, 0, 0)]) == ""


def test_peak_of_a_run_without_workers_yet() -> None:
    assert "peak 0 workers" in "\n".join(receipt_lines(settled(spans=[span("head", 0, 10)])))


def test_receipt_says_which_tiers_were_not_had_and_why() -> None:
    left = PassedOver(tier="a100", reason=Reason.OUT_OF_STOCK, why="pool a100 could not grow")
    receipt = settle(replace(RECORD, spec=replace(RECORD.spec, passed_over=(left,))))
    line = "not had  tier a100: pool a100 could not grow (CAPACITY:OUT_OF_STOCK)"
    assert line in receipt_lines(receipt)
    assert receipt_data(receipt)["passed_over"] == [
        {"tier": "a100", "reason": "CAPACITY:OUT_OF_STOCK", "why": "pool a100 could not grow"}
    ]
    assert receipt_data(settled())["passed_over"] == []
