"""How long the records of runs that are over are kept in a namespace, for everybody there.

An administrator may write another ``keep`` into the ConfigMap ``ebb-catalog``; a user's own
ebb.yaml is about the user's own runs. Does not belong here: deleting them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.keep import Keep, parse_keep
from ebbtide.infra.platforms.kubernetes.records.encoding import ended_in, run_named_in

HISTORY = Keep(age_s=7 * 86_400.0, runs=200)


def history_in(catalog: str | None) -> Keep:
    """Return what a catalog says of it, by a text like ebb.yaml; ``HISTORY`` where it is silent."""
    try:
        found = yaml.safe_load(catalog or "") or {}
        told = found.get("keep") or []
        keep = parse_keep(map(str, told) if isinstance(told, list) else [str(told)])
    except (yaml.YAMLError, AttributeError, ValueError):
        return HISTORY  # whoever reads the catalog for its pools says what is wrong with it
    return keep if keep.age_s is not None or keep.runs is not None else HISTORY


def beyond(headings: Iterable[Mapping[str, Any]], keep: Keep, now: float) -> list[RunName]:
    """List the runs that are kept no longer.

    Args:
        headings: metadata of records of runs that are over.
        keep: for how long and how many; a size is not counted.
        now: Unix time, seconds.

    Returns:
        Their names.
    """
    ends = [(ended_in(heading) or 0.0, run_named_in(heading)) for heading in headings]
    latest = sorted(ends, reverse=True)
    return [
        run
        for place, (ended, run) in enumerate(latest)
        if (keep.runs is not None and place >= keep.runs)
        or (keep.age_s is not None and now - ended > keep.age_s)
    ]
