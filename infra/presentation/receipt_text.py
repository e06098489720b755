"""A receipt as text: lines for a terminal, Markdown for Prefect's page, plain data for scripts.

Does not belong here: any sum (``infra.accounting.receipts``).
"""

from __future__ import annotations

from typing import Any

from ebbtide.infra.accounting.receipts import Receipt, Use
from ebbtide.infra.escaping import markdown
from ebbtide.infra.models.phases import STEP_LABELS, Step
from ebbtide.infra.models.resources import format_duration

NO_PRICES = "no prices in the catalog"
_HEADERS = ("STEP", "TIME", "ASKED", "USED", "IDLE", "COST")


def format_cost(amount: float) -> str:
    """Write an amount in the catalog's currency, without its name; small ones with more digits."""
    return f"{amount:.2f}" if abs(amount) >= 1 or amount == 0 else f"{amount:.4f}"


def short_line(receipt: Receipt) -> str:
    """Say on one line what a run cost, or asked for where nothing has a price."""
    use = receipt.total
    text = f"{use.asked_s:.0f} worker-seconds, {_part(use.used_s, use.asked_s)} used"
    if not receipt.priced:
        return text
    return f"{format_cost(use.cost)} ({format_cost(receipt.static.cost)} if static) · {text}"


def receipt_lines(receipt: Receipt) -> list[str]:
    """Return the lines of a receipt for a terminal. Times of workers are worker-seconds."""
    rows = [_HEADERS, *_rows(receipt)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADERS))]
    table = [_aligned(row, widths) for row in rows]
    facts = [f"{name:<8} {text}" for name, text in _facts(receipt)]
    return [f"{receipt.run} · {receipt.phase} · {receipt.job}", *facts, "", *table]


def receipt_markdown(receipt: Receipt) -> str:
    """Return the receipt in Markdown, for Prefect's page."""
    header = "| " + " | ".join(word.lower() for word in _HEADERS) + " |"
    rule = "|---|" + "---:|" * (len(_HEADERS) - 1)
    rows = ["| " + " | ".join(row) + " |" for row in _rows(receipt)]
    facts = [f"- **{name}** {markdown(text)}" for name, text in _facts(receipt)]
    title = f"## Receipt of {markdown(receipt.run)}"
    note = "Asked, used and idle are worker-seconds; the head counts in the cost only."
    return "\n".join([title, "", *facts, "", header, rule, *rows, "", note])


def receipt_data(receipt: Receipt) -> dict[str, Any]:
    """Return the receipt as data. Times in seconds, money in the catalog's currency."""
    return {
        "run": receipt.run,
        "job": receipt.job,
        "phase": receipt.phase,
        "framework": receipt.framework,
        "tier": receipt.tier,
        "tags": list(receipt.tags),
        "created": receipt.created,
        "peak_workers": receipt.peak_workers,
        "max_workers": receipt.max_workers,
        **use_data(receipt.total),
        "priced": receipt.priced,
        "static_asked_s": round(receipt.static.asked_s, 1),
        "static_cost": round(receipt.static.cost, 6),
        "saved": round(receipt.saved, 6),
        "advice": receipt.advice or None,
        "steps": [{"step": step, **use_data(use)} for step, use in receipt.steps],
    }


def use_data(use: Use) -> dict[str, float]:
    """Return one use as data for scripts."""
    return {
        "seconds": round(use.seconds, 1),
        "asked_s": round(use.asked_s, 1),
        "used_s": round(use.used_s, 1),
        "idle_s": round(use.idle_s, 1),
        "cost": round(use.cost, 6),
    }


def _facts(receipt: Receipt) -> list[tuple[str, str]]:
    total, static = receipt.total, receipt.static
    size = f"{receipt.framework} on tier {receipt.tier} · peak {receipt.peak_workers} workers"
    workers = (
        f"{total.asked_s:.0f} worker-seconds asked · {total.used_s:.0f} used"
        f" ({_part(total.used_s, total.asked_s)}) · {total.idle_s:.0f} idle"
    )
    found = [("size", size), ("workers", workers), ("cost", _cost_text(receipt))]
    if receipt.max_workers > 1:
        spared = static.asked_s - total.asked_s
        text = f"{receipt.max_workers} workers all the time: {static.asked_s:.0f} worker-seconds"
        text += f"; this run asked for {_part(spared, static.asked_s)} less" * (spared > 0)
        found.append(("static", text))
    if receipt.advice:
        found.append(("advice", receipt.advice))
    return found


def _cost_text(receipt: Receipt) -> str:
    if not receipt.priced:
        return NO_PRICES
    static, saved = format_cost(receipt.static.cost), format_cost(receipt.saved)
    return f"{format_cost(receipt.total.cost)} · static {static} · saved {saved}"


def _rows(receipt: Receipt) -> list[tuple[str, ...]]:
    steps = [(STEP_LABELS[Step(step)], use) for step, use in receipt.steps]
    return [_row(name, use, receipt.priced) for name, use in (*steps, ("total", receipt.total))]


def _row(name: str, use: Use, priced: bool) -> tuple[str, ...]:
    cost = format_cost(use.cost) if priced else "–"
    figures = (f"{seconds:.0f}" for seconds in (use.asked_s, use.used_s, use.idle_s))
    return (name, format_duration(use.seconds), *figures, cost)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *rest])


def _part(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
