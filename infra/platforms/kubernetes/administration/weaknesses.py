"""What a run is told to be weaker than it could be, in one line each."""

from __future__ import annotations

from collections.abc import Iterator

from ebbtide.infra.models.job import RunSpec
from ebbtide.infra.platforms.kubernetes.administration.asking import Asks
from ebbtide.infra.platforms.kubernetes.administration.checks import reaper

_BY_OPERATOR = "Dask's operator makes the pods: {number} worker{s} throughout, no HPA"


def weaknesses(api: Asks, spec: RunSpec) -> Iterator[str]:
    """Say what is weaker for a run.

    Args:
        api: of its namespace.
        spec: of the run.

    Yields:
        Sentences.

    Raises:
        ApiError: nobody answered.
    """
    if spec.cluster.by_operator:
        number = spec.cluster.policy.min_workers
        yield _BY_OPERATOR.format(number=number, s="s" * (number != 1))
    found = reaper(api)
    if found.state != "ok":
        yield f"no reaper in namespace {api.namespace}: {found.detail}"
