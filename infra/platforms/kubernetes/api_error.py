"""What the API server answers instead of what was asked for, as errors of ours."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ebbtide.infra.errors import (
    ConfigurationError,
    EbbError,
    Problem,
    ProvisioningError,
    error_for,
)
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.reading.refusals import refusal
from ebbtide.infra.waiting import now_s

UNAUTHORIZED = 401
FORBIDDEN, NOT_FOUND, CONFLICT, GONE, UNPROCESSABLE = 403, 404, 409, 410, 422
_REFUSED = (UNAUTHORIZED, FORBIDDEN)
OUTAGE_S = 10.0
"""A silence of so long is told; a shorter one concerns nobody."""
_RESTART_S = 2.0
"""In no more a server may have been started again."""
UNAWARE_S = 70.0
"""After an outage Kubernetes' own controllers and kubelets are not back at once: each asks again
after a pause that grows to 30 to 60 s (client-go's reflectors), and then does what has waited."""
_BUSY = (429, 500, 502, 503, 504)


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which the API server has answered nothing, or has refused our credentials."""

    began_s: float
    """On this process's monotonic clock: the first question without an answer."""
    seconds: float
    over: bool
    """Whether it has answered since."""
    error: ApiError | None = None
    """What came instead of the last answer."""

    @property
    def refused(self) -> bool:
        """Whether it did not take the credentials that it had taken before."""
        return self.error is not None and self.error.expired


class Silence:
    """Notices outages by the questions of a whole process; they come every few seconds."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since_s: float | None = None
        self._error: ApiError | None = None
        self._last: Outage | None = None
        self._answers_since_s: float | None = None
        """When an answer came after a time without any, however short for an outage."""

    def presume(self) -> None:
        """One may just have ended: this process has not been there to notice it."""
        with self._lock:
            self._answers_since_s = now_s()

    def asked(self) -> None:
        """A question is sent."""
        with self._lock:
            if self._since_s is None:
                self._since_s = now_s()

    def failed(self, error: ApiError) -> None:
        """Nobody has answered, or only to say that credentials that were good are not any more."""
        with self._lock:
            self._error = error

    def answered(self) -> None:
        """An answer has come, whatever else it says."""
        with self._lock:
            since_s, self._since_s = self._since_s, None
            error, self._error = self._error, None
            if since_s is None:
                return
            silent_s = now_s() - since_s
            if silent_s >= OUTAGE_S:
                self._last = Outage(since_s, silent_s, over=True, error=error)
            if silent_s >= _RESTART_S:
                self._answers_since_s = now_s()

    @property
    def going_on(self) -> Outage | None:
        """The outage that has not ended; None: there is none."""
        found = self.outage
        return found if found is not None and not found.over else None

    @property
    def outage(self) -> Outage | None:
        """The one that goes on, or the last one; None: there was none."""
        with self._lock:
            since_s, last, error = self._since_s, self._last, self._error
        if since_s is not None and now_s() - since_s >= OUTAGE_S:
            return Outage(since_s, now_s() - since_s, over=False, error=error)
        return last

    @property
    def unaware_s(self) -> float:
        """For how long yet Kubernetes' own parts may not know that the API server is back.

        Also after a time too short for an outage: a server that was started again has kept nobody's
        connections, and its nodes and controllers come back with growing pauses.
        """
        with self._lock:
            since_s = self._answers_since_s
        if since_s is None or self.going_on is not None:
            return 0.0
        return max(0.0, since_s + UNAWARE_S - now_s())


class ApiError(Exception):
    """The API server refused or could not do what was asked, or did not answer.

    Callers in this package handle what they expect (a conflict, a name that is taken); what they do
    not leaves the platform as ``as_ebb_error`` says.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        asked: str = "",
        causes: tuple[str, ...] = (),
        retry_after_s: float | None = None,
    ):
        self.status = status
        """The HTTP status; 0 when there was no answer."""
        self.reason = reason
        """The server's own word, such as ``AlreadyExists``."""
        self.message = message
        self.asked = asked
        """Method and path."""
        self.causes = causes
        """More words of the server's, such as ``NamespaceTerminating``."""
        self.retry_after_s = retry_after_s
        self.expired = False
        """Whether the credentials that are refused have been taken before."""
        super().__init__(f"{asked}: {status} {reason}: {message}")

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered."""
        return self.status == 0

    @property
    def passing(self) -> bool:
        """Whether the same question may well be answered a moment later."""
        return self.unreachable or self.expired or self.status in _BUSY

    @property
    def conflict(self) -> bool:
        """Whether somebody else was quicker: the object has changed, or exists already."""
        return self.status == CONFLICT

    @property
    def exists(self) -> bool:
        """Whether there is an object of that name already."""
        return self.conflict and self.reason == "AlreadyExists"

    @property
    def namespace_gone(self) -> bool:
        """Whether the namespace is missing or being deleted."""
        missing = self.status == NOT_FOUND and "namespaces" in self.message
        return missing or "NamespaceTerminating" in self.causes


def from_answer(asked: str, status: int, body: bytes, headers: Mapping[str, str]) -> ApiError:
    """Read a ``Status`` object, or whatever else came with an HTTP status that is an error.

    Args:
        asked: method and path.
        status: the HTTP status.
        body: of the answer.
        headers: of the answer.

    Returns:
        The error.
    """
    try:
        told = json.loads(body)
    except ValueError:
        told = {}
    told = told if isinstance(told, dict) else {}
    details = told.get("details") or {}
    after = headers.get("Retry-After", "")
    return ApiError(
        status,
        str(told.get("reason") or ""),
        str(told.get("message") or body[:200].decode(errors="replace")),
        asked=asked,
        causes=tuple(str(cause.get("reason")) for cause in details.get("causes") or ()),
        retry_after_s=float(after) if after.isdigit() else None,
    )


def as_ebb_error(error: ApiError, *, doing: str = "") -> EbbError:
    """Say what an error of the API server means to a user.

    Args:
        error: what happened.
        doing: what we wanted, as a phrase such as ``make the head's pod``.

    Returns:
        The error to raise.
    """
    wanted = f"to {doing}: " if doing else ""
    if error.namespace_gone:
        return ProvisioningError(Reason.NAMESPACE_GONE, detail=f"{wanted}{error.message}")
    if error.unreachable or error.status in _BUSY:
        return ProvisioningError(
            Reason.API_UNREACHABLE,
            detail=f"{wanted}{error.message}",
            hint="kubectl get --raw /readyz asks the same server; --context names another",
        )
    kept_away = refusal(error.message) if error.status == FORBIDDEN else None
    if kept_away is not None:
        detail = f"{wanted}{kept_away.sentence}"
        refused = error_for(kept_away.reason, detail=detail, hint=kept_away.hint)
        refused.in_vain = kept_away.never
        return refused
    if error.expired:
        summary = f"the API server does not take these credentials any more: {error.message}"
        hint = "log in again, or renew the token: a run that still goes on takes the new one"
        return ConfigurationError([Problem(Reason.NO_RIGHTS, summary, hint)])
    if error.status in _REFUSED:
        summary = f"the API server refuses {wanted}{error.message}"
        hint = "ebb doctor --platform kubernetes lists the rights that are missing"
        return ConfigurationError([Problem(Reason.NO_RIGHTS, summary, hint)])
    if error.status in (CONFLICT, UNPROCESSABLE):
        return ProvisioningError(Reason.LAUNCH_FAILED, detail=f"{wanted}{error.message}")
    return ProvisioningError(Reason.API_UNREACHABLE, detail=f"{wanted}{error}")


@contextlib.contextmanager
def translated(doing: str) -> Iterator[None]:
    """Let errors of the API server leave the block as errors for users.

    Args:
        doing: what the block does, as a phrase such as ``make the head's pod``.

    Yields:
        Nothing.

    Raises:
        EbbError: as ``as_ebb_error`` makes it.
    """
    try:
        yield
    except ApiError as error:
        raise as_ebb_error(error, doing=doing) from error
