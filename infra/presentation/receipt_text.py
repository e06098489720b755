"""A receipt as text: lines for a terminal, Markdown for Prefect's page, plain data for scripts.

Does not belong here: any sum (``infra.accounting.receipts``).
"""

from __future__ import annotations

from typing import Any

from ebbtide.infra.accounting.receipts import Receipt
from ebbtide.infra.accounting.use import Use
from ebbtide.infra.escaping import markdown
from ebbtide.infra.models.codec import to_data
from ebbtide.infra.models.phases import STEP_LABELS, Step
from ebbtide.infra.models.resources import format_duration

NO_PRICES = "no prices in the catalog"
_NOT_MEASURED = "what was used is not known: there were no figures of CPU and memory"
_HOUR_S = 3600.0
_HEADERS = ("STEP", "TIME", "ASKED", "USED", "IDLE", "COST")


def format_cost(amount: float) -> str:
    """Write an amount in the catalog's currency, without its name; small ones with more digits."""
    return f"{amount:.2f}" if abs(amount) >= 1 or amount == 0 else f"{amount:.4f}"


def format_gpu_hours(gpu_s: float) -> str:
    """Write GPU-seconds as hours: ``2.50``, and below one with three digits."""
    hours = gpu_s / _HOUR_S
    return f"{hours:.2f}" if hours >= 1 or hours == 0 else f"{hours:.3g}"


def short_line(receipt: Receipt) -> str:
    """Say on one line what a run cost, or asked for where nothing has a price."""
    use = receipt.total
    used = f"{_part(use.used_s, use.asked_s)} used" if receipt.measured else "use not known"
    text = f"{use.asked_s:.0f} worker-seconds, {used}"
    text += f" · {format_gpu_hours(use.gpu_s)} GPU-hours" if use.gpu_s else ""
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
        "passed_over": to_data(receipt.passed_over),
        "tags": list(receipt.tags),
        "created": receipt.created,
        "peak_workers": receipt.peak_workers,
        "max_workers": receipt.max_workers,
        **use_data(receipt.total),
        "priced": receipt.priced,
        "measured": receipt.measured,
        "gpu_type": receipt.gpu_type or None,
        "static_asked_s": round(receipt.static.asked_s, 1),
        "static_gpu_s": round(receipt.static.gpu_s, 1),
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
        "unknown_s": round(use.unknown_s, 1),
        "gpu_s": round(use.gpu_s, 1),
        "cost": round(use.cost, 6),
    }


def _facts(receipt: Receipt) -> list[tuple[str, str]]:
    total, static = receipt.total, receipt.static
    size = f"{receipt.framework} on tier {receipt.tier} · peak {receipt.peak_workers} workers"
    used = (
        f"{total.used_s:.0f} used ({_part(total.used_s, total.asked_s)}) · {total.idle_s:.0f} idle"
    )
    workers = f"{total.asked_s:.0f} worker-seconds asked · "
    workers += used if receipt.measured else _NOT_MEASURED
    found = [("size", size)]
    found += [
        ("not had", f"tier {each.tier}: {each.why} ({each.reason})") for each in receipt.passed_over
    ]
    found.append(("workers", workers))
    if total.gpu_s:
        found.append(("gpus", _gpu_text(receipt)))
    found.append(("cost", _cost_text(receipt)))
    if receipt.max_workers > 1:
        spared = static.asked_s - total.asked_s
        text = f"{receipt.max_workers} workers all the time: {static.asked_s:.0f} worker-seconds"
        text += f"; this run asked for {_part(spared, static.asked_s)} less" * (spared > 0)
        found.append(("static", text))
    if receipt.advice:
        found.append(("advice", receipt.advice))
    return found


def _gpu_text(receipt: Receipt) -> str:
    which = f" of {receipt.gpu_type}" if receipt.gpu_type else ""
    asked = f"{format_gpu_hours(receipt.total.gpu_s)} GPU-hours{which} asked"
    return f"{asked} · static {format_gpu_hours(receipt.static.gpu_s)}; their use is not measured"


def _cost_text(receipt: Receipt) -> str:
    if not receipt.priced:
        return NO_PRICES
    static, saved = format_cost(receipt.static.cost), format_cost(receipt.saved)
    return f"{format_cost(receipt.total.cost)} · static {static} · saved {saved}"


def _rows(receipt: Receipt) -> list[tuple[str, ...]]:
    steps = [(STEP_LABELS[Step(step)], use) for step, use in receipt.steps]
    return [_row(name, use, receipt) for name, use in (*steps, ("total", receipt.total))]


def _row(name: str, use: Use, receipt: Receipt) -> tuple[str, ...]:
    cost = format_cost(use.cost) if receipt.priced else "–"
    known = (f"{use.used_s:.0f}", f"{use.idle_s:.0f}") if receipt.measured else ("–", "–")
    return (name, format_duration(use.seconds), f"{use.asked_s:.0f}", *known, cost)


def _aligned(row: tuple[str, ...], widths: list[int]) -> str:
    rest = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join([row[0].ljust(widths[0]), *rest])


def _part(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "0 %"
