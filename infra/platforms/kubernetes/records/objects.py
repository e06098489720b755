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
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import (
    GONE,
    NOT_FOUND,
    ApiError,
    as_ebb_error,
)
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.clusters.fencing import Standing, claim
from ebbtide.infra.platforms.kubernetes.kinds import CONFIG_MAP, LEASE, Kind, Object
from ebbtide.infra.platforms.kubernetes.naming import CLUSTER, DOMAIN, ROLE, RUN
from ebbtide.infra.platforms.kubernetes.reading.watching import being_watched
from ebbtide.infra.platforms.kubernetes.records.encoding import KEPT, run_of_object
from ebbtide.infra.platforms.kubernetes.records.following import Followed, followed, version_of
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

    def __init__(self, api: Api, *, looking: bool = False, following: bool = False):
        """Make it; nothing is asked yet.

        Args:
            api: of the namespace.
            looking: whether what a list has brought may be shown again for a second.
            following: whether what is read often is to be followed by a watch.
        """
        self.api = api
        self._following = following
        self._looking = looking
        self._patience_s = _LOOKING_PATIENCE_S if looking else None
        self._known: dict[str, Object] = {}
        """What we ourselves have read or written last: the first guess for the next change."""
        self._listed: dict[str, tuple[float, Object]] = {}
        self._leases: dict[str, Object] = {}
        self._leases_until = 0.0
        self._followed: set[Followed] = set()
        self._unsure_since = 0.0
        self._asked_at: dict[str, float] = {}

    def get(self, name: str) -> Object | None:
        """Return one; None when there is none of this name."""
        at, found = self._listed.get(name, (0.0, None))
        if found is not None and now_s() - at < _FRESH_S:
            return found
        follow = self._follow(name, read=True)
        if follow is not None and self._is_sure(name):
            known, found = follow.get(name)
            if known:
                return found
        return self._read(name)

    def catch_up(self) -> None:
        """Ask the server itself when something is read next: a watch may be a moment behind."""
        self._unsure_since = now_s()

    def close(self) -> None:
        """Follow nothing any longer, unless others do."""
        for each in self._followed:
            each.leave(id(self))
        self._followed.clear()

    def create(self, thing: Object) -> bool:
        """Make one; False when there is one of its name."""
        name, mark = thing["metadata"]["name"], _mark()
        with _said("write the records of a run"):
            try:
                self._note(name, self.api.create(_marked(thing, mark)))
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
        known, fresh = self._guess(name)
        while now_s() < until:
            fresh = fresh or known is None
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
            known, fresh = None, True
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
                    if error.status != NOT_FOUND:
                        if not error.conflict:
                            raise
                        continue
            self._gone(name)
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
        watched = being_watched(self.api, ClusterId(name)) if self._following else None
        snapshot = watched.current() if watched is not None else None
        if snapshot is not None and snapshot.lease is not None:
            return snapshot.lease
        follow = self._follow_lease(name, read=True)
        if follow is not None:
            known, found = follow.get(name)
            if known:
                return found
        return self._ask_one(LEASE, name)

    def claim_lease(self, name: ClusterId, lease_s: float | None) -> Standing:
        """Renew a Lease as its holder, or take it where nobody living holds it."""
        with _said("renew a lease"):
            return claim(self.api, name, lease_s)

    def _read(self, name: str) -> Object | None:
        at_s = now_s()
        found = self._ask_one(CONFIG_MAP, name)
        self._asked_at[name] = at_s
        if found is None:
            self._forget(name)
            self._gone(name)
        else:
            self._note(name, found)
        return found

    def _is_sure(self, name: str) -> bool:
        """Whether the server itself was asked since it was last to be."""
        return self._asked_at.get(name, 0.0) >= self._unsure_since

    def _guess(self, name: str) -> tuple[Object | None, bool]:
        """The newest that is known, and whether it is as good as asked for now."""
        follow, mine = self._follow(name, read=False), self._known.get(name)
        known, theirs = follow.get(name) if follow is not None else (False, None)
        if not known or theirs is None or not self._is_sure(name):
            return mine, False
        if mine is not None and version_of(mine) > version_of(theirs):
            return mine, False
        return theirs, True

    def _follow(self, name: str, *, read: bool) -> Followed | None:
        """What follows the run of an object, if it is read often."""
        run = run_of_object(name) if self._following else None
        if run is None:
            return None
        return self._user_of(followed(self.api, CONFIG_MAP, {RUN: run, KEPT: "*"}, run, read=read))

    def _follow_lease(self, name: str, *, read: bool) -> Followed | None:
        if not self._following:
            return None
        labels = {CLUSTER: name, ROLE: "cluster"}
        return self._user_of(followed(self.api, LEASE, labels, name, read=read))

    def _user_of(self, follow: Followed | None) -> Followed | None:
        if follow is not None and follow not in self._followed:
            self._followed = {each for each in self._followed if not each.over} | {follow}
            follow.take(id(self))
        return follow

    def _note(self, name: str, thing: Object) -> None:
        """Remember what we ourselves have read or written."""
        thing = {"apiVersion": CONFIG_MAP.api, "kind": CONFIG_MAP.name, **thing}
        self._known[name] = thing
        follow = self._follow(name, read=False)
        if follow is not None:
            follow.put(thing)

    def _gone(self, name: str) -> None:
        """Remember that there is none."""
        follow = self._follow(name, read=False)
        if follow is not None:
            follow.drop(name)

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
        self._note(name, written)
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
