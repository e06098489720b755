"""Records of runs as values: one, all with some labels, and a change of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.models.ids import ClusterId, RunName
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.models.records import Cluster, Run
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.records.bounds import bounded_record
from ebbtide.infra.platforms.kubernetes.records.encoding import (
    KEPT,
    OPEN,
    NewerFormatError,
    Record,
    decode_record,
    encode_record,
    record_name,
)
from ebbtide.infra.platforms.kubernetes.records.objects import Objects
from ebbtide.infra.waiting import now_s

GOES_ON = {OPEN: "yes"}
"""The labels of runs that go on or hold anything."""
ALL: dict[str, str] = {}
_DECODED_S = 5.0
"""So long a decoded record is used again: whether anybody may still drive a run goes by the time.
"""


class Records:
    """What all parts of the store ask of the ConfigMaps."""

    def __init__(self, objects: Objects):
        self.objects = objects
        self._record: tuple[float, Object, Record] | None = None
        """What was decoded last: the same object is read many times a second."""

    def record(self, run: RunName) -> Record | None:
        """Return the record of a run; None when there is none. It is not to be changed."""
        thing = self.objects.get(record_name(run))
        if thing is None:
            return None
        if self._record is not None:
            at_s, known, record = self._record
            if known is thing and now_s() - at_s < _DECODED_S:
                return record
        with readable(thing):
            if thing["metadata"].get("labels", {}).get(KEPT) != "run":
                raise ValueError(f"it has no label {KEPT}=run")
            found = decode_record(thing)
        self._record = now_s(), thing, found
        return found

    def records(self, labels: Mapping[str, str] = ALL) -> list[Record]:
        """Return all records with these labels, in the order in which the runs were asked for.

        One that cannot be read keeps nobody from reading the others; asked for by its name it is
        an error.
        """
        found = []
        for thing in self.objects.listed({KEPT: "run", **labels}):
            with contextlib.suppress(ValueError):
                found.append(decode_record(thing))
        return sorted(found, key=lambda record: (record.run.created, record.run.name))

    def change(self, run: RunName, edit: Callable[[Record], Record | None]) -> bool:
        """Change a record by compare-and-set.

        Args:
            run: whose it is.
            edit: what it shall be; None: it is right as it is. May be called several times.

        Returns:
            Whether it is written; False also when there is no such run.
        """

        def edited(thing: Object) -> Object | None:
            with readable(thing):
                record = edit(decode_record(thing))
            return None if record is None else encode_record(bounded_record(record), thing)

        return self.objects.change(record_name(run), edited)

    def change_run(self, run: RunName, edit: Callable[[Run], Run]) -> bool:
        """Change what is known of a run itself; not written where that changes nothing."""

        def edited(record: Record) -> Record | None:
            wanted = edit(record.run)
            return None if wanted == record.run else replace(record, run=wanted)

        return self.change(run, edited)

    def change_cluster(self, cluster: ClusterId, edit: Callable[[Cluster], Cluster]) -> bool:
        """Change what is known of a cluster; not written where that changes nothing."""

        def edited(record: Record) -> Record | None:
            place = record.place_of(cluster)
            if place is None:
                return None
            wanted = edit(record.clusters[place])
            if wanted == record.clusters[place]:
                return None
            clusters = [*record.clusters[:place], wanted, *record.clusters[place + 1 :]]
            return replace(record, clusters=clusters)

        return self.change(run_with(cluster), edited)


def run_with(cluster: ClusterId) -> RunName:
    """The run of a cluster: on Kubernetes, ids are the run's name, a dash and the attempt."""
    return RunName(cluster.rpartition("-")[0])


@contextlib.contextmanager
def readable(thing: Object) -> Iterator[None]:
    """What is read inside was written by an ebb of this version.

    Raises:
        ConfigurationError: LEDGER_NEWER, by a newer one.
        ProvisioningError: LEDGER_UNWRITABLE, by something else.
    """
    name = thing["metadata"]["name"]
    try:
        yield
    except NewerFormatError as error:
        summary = f"the ConfigMap {name} was written by a newer ebb ({error})"
        raise ConfigurationError(
            [Problem(Reason.LEDGER_NEWER, summary, "upgrade ebbtide")]
        ) from error
    except ValueError as error:
        raise ProvisioningError(
            Reason.LEDGER_UNWRITABLE,
            detail=f"the ConfigMap {name} is no record of a run: {error}",
            hint=f"kubectl delete configmap {name} forgets the run",
        ) from error
