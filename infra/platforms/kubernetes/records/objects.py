"""ConfigMaps of records: read, listed in small pages, and changed by compare-and-set only.

Does not belong here: what is in them (``encoding``).
"""

from __future__ import annotations

import contextlib
import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import (
    GONE,
    NOT_FOUND,
    ApiError,
    as_ebb_error,
)
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, LEASE, Kind, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, DOMAIN, ROLE
from ebbtide.infra.waiting import now_s, pause

_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_PAGE = 100
"""Objects asked for at once: about 1 MiB of usual records."""
_LOOKING_PATIENCE_S = 3.0
"""Whoever only looks would rather see what there is on this machine than wait."""
_WRITE_PATIENCE_S = 30.0
"""For how long a change is tried again because others are quicker."""
_LONGEST_PAUSE_S = 0.2
_FRESH_S = 1.0
"""So long what a list has brought is shown again to whoever only looks."""
_LEASES = {CLUSTER: "*", ROLE: "cluster"}
_WRITES = f"{DOMAIN}/writes"
"""An annotation: marks of the last writes. One whose answer was lost is so known to be done."""
_WRITES_KEPT = 8
_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

Edit = Callable[[Object], Object | None]
"""From an object to what it shall be; None: it is right as it is. May be called several times."""


class Objects:
    """The ConfigMaps of one namespace. Not for sharing between threads."""

    def __init__(self, api: Api, *, looking: bool = False):
        """Make it; nothing is asked yet.

        Args:
            api: of the namespace.
            looking: whether what a list has brought may be shown again for a second.
        """
        self.api = api
        self._looking = looking
        self._patience_s = _LOOKING_PATIENCE_S if looking else None
        self._known: dict[str, Object] = {}
        """What we ourselves have read or written last: the first guess for the next change."""
        self._listed: dict[str, tuple[float, Object]] = {}
        self._leases: dict[str, Object] = {}
        self._leases_until = 0.0

    def get(self, name: str) -> Object | None:
        """Return one; None when there is none of this name."""
        at, found = self._listed.get(name, (0.0, None))
        if found is not None and now_s() - at < _FRESH_S:
            return found
        return self._read(name)

    def create(self, thing: Object) -> bool:
        """Make one; False when there is one of its name."""
        name, mark = thing["metadata"]["name"], _mark()
        with _said("write the records of a run"):
            try:
                self._known[name] = self.api.create(_marked(thing, mark))
            except ApiError as error:
                if not error.exists:
                    raise
                found = self._read(name)
                return found is not None and mark in _marks(found)
        return True

    def change(self, name: str, edit: Edit) -> bool:
        """Change one, as often as it takes because others change it too.

        Args:
            name: of the object.
            edit: what it shall be.

        Returns:
            Whether it is written; False when there is none, or it is right as it is.

        Raises:
            ProvisioningError: API_UNREACHABLE; LEDGER_UNWRITABLE when others are always quicker.
        """
        mark, until = _mark(), now_s() + _WRITE_PATIENCE_S
        known = self._known.get(name)
        while now_s() < until:
            fresh = known is None
            thing = self._read(name) if known is None else known
            if thing is None:
                return False
            if mark in _marks(thing):
                return True  # the answer was lost, and the same was sent again
            wanted = edit(thing)
            if wanted is None and fresh:
                return False
            if wanted is not None and self._replaced(_marked(wanted, mark, thing)):
                return True
            known = None
            if wanted is not None:
                pause(random.uniform(0, _LONGEST_PAUSE_S))
        detail = f"{name}: others write it all the time"
        raise ProvisioningError(Reason.LEDGER_UNWRITABLE, detail=detail, hint="try again")

    def delete(self, name: str, may: Callable[[Object], bool] = bool) -> bool:
        """Delete one, if it is still what it was when it was judged.

        Args:
            name: of the object.
            may: whether it may go.

        Returns:
            Whether it has gone; False when there was none, or it may not.
        """
        while True:
            thing = self._read(name)
            if thing is None or not may(thing):
                return False
            metadata = thing["metadata"]
            same = {key: metadata[key] for key in ("uid", "resourceVersion")}
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": same}
            path = CONFIG_MAP.path(self.api.namespace, name)
            self._forget(name)
            with _said("forget a run"):
                try:
                    self.api.ask(Request(method="DELETE", path=path, body=options))
                except ApiError as error:
                    if error.status == NOT_FOUND:
                        return True
                    if not error.conflict:
                        raise
                    continue
            return True

    def listed(self, labels: Mapping[str, str], *, metadata_only: bool = False) -> list[Object]:
        """Return all with these labels, in small pages.

        Args:
            labels: name and value each; a value of ``*``: the label is there.
            metadata_only: whether what is in them is left out; a tenth of the bytes, or less.

        Returns:
            The objects.
        """
        found = self._pages(CONFIG_MAP.path(self.api.namespace), labels, metadata_only)
        if self._looking and not metadata_only:
            self._listed = {thing["metadata"]["name"]: (now_s(), thing) for thing in found}
        return found

    def leases(self) -> dict[str, Object]:
        """Return the Leases of all clusters, by name."""
        if not self._looking or now_s() > self._leases_until:
            found = self._pages(LEASE.path(self.api.namespace), _LEASES, False)
            self._leases = {thing["metadata"]["name"]: thing for thing in found}
            self._leases_until = now_s() + _FRESH_S
        return self._leases

    def lease(self, name: str) -> Object | None:
        """Return one Lease; None when there is none of this name."""
        if self._looking:
            return self.leases().get(name)
        return self._ask_one(LEASE, name)

    def change_lease(self, name: str, change: Object) -> Object | None:
        """Merge something into a Lease; None when there is none of this name."""
        with _said("renew a lease"):
            return self.api.merge(LEASE, name, change)

    def _read(self, name: str) -> Object | None:
        found = self._ask_one(CONFIG_MAP, name)
        if found is None:
            self._forget(name)
        else:
            self._known[name] = found
        return found

    def _ask_one(self, kind: Kind, name: str) -> Object | None:
        if not _NAME.fullmatch(name):  # no object has it, and a path would mean something else
            return None
        request = Request(path=kind.path(self.api.namespace, name))
        with _said("read the records of a run"):
            try:
                found: Object = self.api.ask(request, patience_s=self._patience_s)
            except ApiError as error:
                if error.status == NOT_FOUND:
                    return None
                raise
        return {"apiVersion": kind.api, "kind": kind.name, **found}

    def _pages(self, path: str, labels: Mapping[str, str], metadata_only: bool) -> list[Object]:
        parts = (name if value == "*" else f"{name}={value}" for name, value in labels.items())
        query: dict[str, Any] = {"labelSelector": ",".join(parts), "limit": _PAGE}
        accept = _METADATA if metadata_only else "application/json"
        items: list[Object] = []
        with _said("read the records of runs"):
            while True:
                try:
                    request = Request(path=path, query=query, accept=accept)
                    page = self.api.ask(request, patience_s=self._patience_s)
                except ApiError as error:
                    if error.status != GONE or "continue" not in query:
                        raise
                    items, query = [], {k: v for k, v in query.items() if k != "continue"}
                    continue
                items += page["items"] or ()
                if not (more := page["metadata"].get("continue")):
                    return items
                query = {**query, "continue": more}

    def _replaced(self, thing: Object) -> bool:
        """Whether nobody was quicker."""
        name = thing["metadata"]["name"]
        with _said("write the records of a run"):
            try:
                written = self.api.replace(thing)
            except ApiError as error:
                self._forget(name)
                if error.conflict or (error.status == NOT_FOUND and not error.namespace_gone):
                    return False
                raise
        self._forget(name)
        self._known[name] = written
        return True

    def _forget(self, name: str) -> None:
        self._known.pop(name, None)
        self._listed.pop(name, None)


@contextlib.contextmanager
def _said(doing: str) -> Iterator[None]:
    """Errors of the API server as ours."""
    try:
        yield
    except ApiError as error:
        raise as_ebb_error(error, doing=doing) from error


def _mark() -> str:
    return uuid.uuid4().hex[:8]


def _marks(thing: Object) -> list[str]:
    annotations = thing["metadata"].get("annotations") or {}
    return str(annotations.get(_WRITES, "")).split()


def _marked(thing: Object, mark: str, old: Object | None = None) -> Object:
    """With one more mark of a write."""
    marks = [*(_marks(old) if old is not None else []), mark][-_WRITES_KEPT:]
    metadata = thing["metadata"]
    annotations = {**metadata.get("annotations", {}), _WRITES: " ".join(marks)}
    return {**thing, "metadata": {**metadata, "annotations": annotations}}
