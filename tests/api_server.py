"""An API server in memory, as far as records ask for it: versions, labels, conflicts."""

from __future__ import annotations

import copy
import itertools
import json
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.client import Access, Request

Object = dict[str, Any]


@dataclass
class Server:
    """What all connections share."""

    things: dict[str, Object] = field(default_factory=dict)
    """By path."""
    asked: list[Request] = field(default_factory=list)
    before: Callable[[Request], None] = lambda request: None
    """Called with each request; may raise an ApiError."""
    after: Callable[[Request], None] = lambda request: None
    """Called when it has been done; the answer is lost when it raises."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    versions: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def methods(self) -> list[str]:
        return [request.method for request in self.asked]


class InMemoryApi(Api):
    """One connection to it."""

    def __init__(self, server: Server, namespace: str = "team"):
        self._server = server
        self.namespace = namespace
        self.access = Access(context="in-memory", namespace=namespace)

    def ask(self, request: Request, *, patience_s: float | None = None) -> Any:
        server = self._server
        with server.lock:
            server.asked.append(request)
            server.before(request)
            answer = copy.deepcopy(self._answer(request))
        try:
            server.after(request)
        except ApiError as error:
            if not error.unreachable or patience_s == 0:
                raise
            return self.ask(request)
        return answer

    def _answer(self, request: Request) -> Any:
        body: Any = request.body
        if isinstance(body, bytes):
            body = json.loads(body)
        match request.method:
            case "GET" if request.path.endswith(("configmaps", "leases")):
                return self._list(request)
            case "POST":
                return self._create(f"{request.path}/{body['metadata']['name']}", body)
            case "GET":
                return self._found(request.path)
            case "PUT":
                return self._write(request.path, body, self._found(request.path))
            case "PATCH":
                there = self._found(request.path)
                return self._write(request.path, _merged(there, body), there)
            case _:
                return self._delete(request.path, body.get("preconditions", {}))

    def _found(self, path: str) -> Object:
        if path not in self._server.things:
            raise ApiError(404, "NotFound", f"{path} not found")
        return self._server.things[path]

    def _list(self, request: Request) -> Object:
        found = [
            thing
            for path, thing in sorted(self._server.things.items())
            if path.startswith(f"{request.path}/")
            and _matches(thing, request.query.get("labelSelector", ""))
        ]
        start = int(request.query.get("continue", 0))
        end = start + int(request.query.get("limit", len(found)))
        if "PartialObjectMetadata" in request.accept:
            found = [{"metadata": thing["metadata"]} for thing in found]
        more = str(end) if end < len(found) else ""
        items = found[start:end] or None  # a real server leaves an empty list of metadata out
        version = max((int(thing["metadata"]["resourceVersion"]) for thing in found), default=0)
        return {"items": items, "metadata": {"continue": more, "resourceVersion": str(version)}}

    def _create(self, path: str, thing: Object) -> Object:
        if path in self._server.things:
            raise ApiError(409, "AlreadyExists", f"{path} exists")
        new = copy.deepcopy(thing)
        new["metadata"]["uid"] = str(uuid.uuid4())
        return self._keep(path, new)

    def _write(self, path: str, thing: Object, there: Object) -> Object:
        version = thing["metadata"].get("resourceVersion")
        if version not in (None, there["metadata"]["resourceVersion"]):
            raise ApiError(409, "Conflict", f"{path} has been modified")
        new = copy.deepcopy(thing)
        new["metadata"]["uid"] = there["metadata"]["uid"]
        if _content(new) == _content(there):
            return there
        return self._keep(path, new)

    def _delete(self, path: str, same: dict[str, str]) -> Object:
        metadata = self._found(path)["metadata"]
        if any(metadata[name] != value for name, value in same.items()):
            raise ApiError(409, "Conflict", f"{path} has been modified")
        del self._server.things[path]
        return {}

    def _keep(self, path: str, thing: Object) -> Object:
        assert len(json.dumps(thing.get("data", {}))) < 2**20, "1 MiB is all that it takes"
        thing["metadata"]["resourceVersion"] = str(next(self._server.versions))
        self._server.things[path] = thing
        return thing


def away(request: Request) -> None:
    """Nobody answers."""
    raise ApiError(0, "NewConnectionError", "connection refused", asked=str(request))


def _content(thing: Object) -> Object:
    metadata = {k: v for k, v in thing["metadata"].items() if k != "resourceVersion"}
    return {**thing, "metadata": metadata}


def _merged(thing: Object, change: Object) -> Object:
    merged = dict(thing)
    for name, value in change.items():
        if isinstance(value, dict):
            merged[name] = _merged(merged.get(name) or {}, value)
        elif value is None:
            merged.pop(name, None)
        else:
            merged[name] = value
    return merged


def _matches(thing: Object, selector: str) -> bool:
    labels = thing["metadata"].get("labels", {})
    return all(
        word in labels if "=" not in word else labels.get(word.split("=")[0]) == word.split("=")[1]
        for word in filter(None, selector.split(","))
    )
