"""What the API server answers instead of what was asked for, as errors of ours."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

from ebbtide.infra.errors import (
    ConfigurationError,
    EbbError,
    Problem,
    ProvisioningError,
    error_for,
)
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes.reading.refusals import refusal

FORBIDDEN, NOT_FOUND, CONFLICT, GONE, UNPROCESSABLE = 403, 404, 409, 410, 422
_REFUSED = (401, 403)
_BUSY = (429, 500, 502, 503, 504)


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
        super().__init__(f"{asked}: {status} {reason}: {message}")

    @property
    def unreachable(self) -> bool:
        """Whether nobody answered."""
        return self.status == 0

    @property
    def passing(self) -> bool:
        """Whether the same question may well be answered a moment later."""
        return self.unreachable or self.status in _BUSY

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
    if error.status in _REFUSED:
        summary = f"the API server refuses {wanted}{error.message}"
        hint = "ebb doctor --platform kubernetes lists the rights that are missing"
        return ConfigurationError([Problem(Reason.NO_RIGHTS, summary, hint)])
    if error.status == UNPROCESSABLE:
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
