"""``ebb cost``: what runs asked, used and cost, summed; or the receipt of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Any

import click

from ebbtide.flows.cli.output import known_run, print_json, print_table, say, show
from ebbtide.flows.cli.parsing.command import command, option
from ebbtide.flows.cli.parsing.shared import KUBERNETES, run_argument
from ebbtide.infra.accounting.receipts import BY, Receipt, Sum, receipt_of, receipts_since, sums_by
from ebbtide.infra.errors import ConfigurationError
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import ExitCode, Reason
from ebbtide.infra.models.resources import format_duration, parse_duration_s
from ebbtide.infra.presentation.receipt_text import (
    NO_PRICES,
    format_cost,
    format_gpu_hours,
    receipt_data,
    receipt_lines,
    use_data,
)
from ebbtide.infra.records.opening import open_to_look
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.request.hints import problem_from
from ebbtide.infra.settings import load_settings
from ebbtide.infra.waiting import wall_s

_DESCRIPTION = """Sums what runs asked for, used and cost, by day, tier, job or tag; with RUN, shows
its receipt. Times are worker time: the seconds of each worker, added up. JSON: an object with the
keys by, since (Unix time), sums (a list of key, runs, seconds, asked_s, used_s, idle_s, unknown_s
(of whose use there are no figures), gpu_s, cost, static_asked_s, static_gpu_s, static_cost, saved)
and total (the same); with RUN its receipt, or null when it has held nothing."""
_HEADERS = ("RUNS", "ASKED", "USED", "IDLE", "STATIC", "COST", "SAVED")


@command("cost", _DESCRIPTION, place=KUBERNETES)
@run_argument(required=False, help="show the receipt of this run")
@option("--by", type=click.Choice(BY), default="day", help="what to sum by (default day)")
@option("--since", metavar="AGE", default="30d", help="how far back, like 12h (default 30d)")
def main(options: Any) -> int:
    """Sum receipts, or show one."""
    store = open_to_look(load_settings())
    if options.run is not None:
        return _show_one(store, options.run, as_json=options.json)
    since = wall_s() - _seconds(options.since)
    receipts = receipts_since(store, since)
    sums, total = sums_by(receipts, options.by), _total(receipts)
    if options.json:
        listed = [{"key": one.key, **_data(one)} for one in sums]
        print_json({"by": options.by, "since": since, "sums": listed, "total": _data(total)})
    elif not receipts:
        say(f"no runs in the last {options.since}")
    else:
        _show(options.by, [*sums, total])
        show(_last_line(total))
    return ExitCode.OK


def _show_one(store: RunStore, run: RunName, *, as_json: bool) -> int:
    known_run(store, run)
    receipt = receipt_of(store, run)
    if as_json:
        print_json(receipt_data(receipt) if receipt else None)
    elif receipt is None:
        say(f"{run} has held nothing yet")
    else:
        for line in receipt_lines(receipt):
            show(line)
    return ExitCode.OK


def _seconds(text: str) -> float:
    try:
        return parse_duration_s(text)
    except ValueError as error:
        problem = problem_from(Reason.OPTION_INVALID, "--since", error)
        raise ConfigurationError([problem]) from None


def _total(receipts: Sequence[Receipt]) -> Sum:
    """Add up all runs; one that counts under several tags counts once here."""
    return reduce(Sum.plus, receipts, Sum(key="total"))


def _data(one: Sum) -> dict[str, Any]:
    return {
        "runs": one.runs,
        **use_data(one.total),
        "static_asked_s": round(one.static.asked_s, 1),
        "static_gpu_s": round(one.static.gpu_s, 1),
        "static_cost": round(one.static.cost, 6),
        "saved": round(one.saved, 6),
    }


def _show(by: str, sums: Sequence[Sum]) -> None:
    gpus = any(one.total.gpu_s for one in sums)
    unknown = any(one.total.unknown_s for one in sums)
    headers = (by.upper(), *_HEADERS, *("GPU-HOURS",) * gpus, *("NOT MEASURED",) * unknown)
    rows = [(*_row(one), *_gpu_hours(one) * gpus, *_not_measured(one) * unknown) for one in sums]
    print_table(headers, rows)


def _gpu_hours(one: Sum) -> tuple[str, ...]:
    return (format_gpu_hours(one.total.gpu_s) if one.total.gpu_s else "",)


def _not_measured(one: Sum) -> tuple[str, ...]:
    return (format_duration(one.total.unknown_s) if one.total.unknown_s else "",)


def _row(one: Sum) -> tuple[str, ...]:
    times = (one.total.asked_s, one.total.used_s, one.total.idle_s, one.static.asked_s)
    money = (one.total.cost, one.saved)
    return (
        one.key,
        str(one.runs),
        *(format_duration(seconds) for seconds in times),
        *(format_cost(amount) if one.priced else "–" for amount in money),
    )


def _last_line(total: Sum) -> str:
    """The one figure to take away: against clusters that always have their maximum of workers."""
    runs = f"{total.runs} run{'s' * (total.runs != 1)}"
    if total.priced:
        static = format_cost(total.static.cost)
        cost, saved = format_cost(total.total.cost), format_cost(total.saved)
        return f"total {cost} for {runs}; saved {saved} against static clusters ({static})"
    asked_s, static_s = total.total.asked_s, total.static.asked_s
    less = f"{100 * (1 - asked_s / static_s):.0f} %" if static_s else "0 %"
    asked, static = format_duration(asked_s), format_duration(static_s)
    line = f"total {asked} of worker time for {runs}; {less} less than static clusters ({static})"
    return f"{line}; {NO_PRICES}"
