"""Sends a package to the container ``files``: by exec, through the kubelet and past all policies.

Repeated by content: what has come is not sent again, and a transfer that broke off starts anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from ebbtide.infra.errors import ProvisioningError
from ebbtide.infra.models.phases import Reason
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.shipping.package import Package
from ebbtide.infra.waiting import now_s, pause

T = TypeVar("T")

_ANSWER_S = 60.0
_CHUNK_BYTES = 2**18
_PATIENCE_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0
_NOWHERE = "/dev/null"
"""No folder, so that nothing is unpacked there."""


class Running(Protocol):
    """A command that runs in a container; see ``client.Exec``."""

    def __enter__(self) -> Running:
        """Itself."""
        ...

    def __exit__(self, *_: object) -> None:
        """Closes the connection."""
        ...

    def write(self, data: bytes) -> None:
        """Send to its stdin."""
        ...

    def read(self, timeout_s: float) -> bytes | None:
        """Return what it has printed; empty when nothing came in time, None when it ended."""
        ...

    @property
    def errors(self) -> str:
        """What it has printed to stderr."""
        ...


Run = Callable[[str, str, Sequence[str]], Running]
"""``Api.run``: of a pod, a container in it and a command line."""


def send(
    run: Run,
    pod: str,
    package: Package,
    *,
    container: str = layout.FILES,
    patience_s: float = _PATIENCE_S,
    unpacked: bool = True,
) -> bool:
    """Send a package to the store in a pod, unless it is there.

    Args:
        run: ``Api.run``.
        pod: the head's, or the driver's where there is no head, or the flow's.
        package: what is sent.
        container: of the pod, with the folder for packages; it runs, or will.
        patience_s: for how long it is tried again when the connection fails, in seconds.
        unpacked: whether it is also unpacked where a run's code is, in that pod.

    Returns:
        Whether it had to be sent.

    Raises:
        ApiError: it could not be reached in time.
        ProvisioningError: LAUNCH_FAILED, the store refused it.
    """
    folder = str(layout.CODE) if unpacked else _NOWHERE
    return patiently(lambda: _sent(run, (pod, container, folder), package), patience_s)


def patiently(attempt: Callable[[], T], patience_s: float) -> T:
    """Try something again, with growing pauses, while it fails because of the connection.

    Args:
        attempt: what is tried; at least once.
        patience_s: for how long it is tried again, in seconds.

    Returns:
        What it returned.

    Raises:
        ApiError: the last one.
    """
    until, wait_s = now_s() + patience_s, _FIRST_PAUSE_S
    while True:
        try:
            return attempt()
        except ApiError:
            if now_s() + wait_s > until:
                raise
        pause(wait_s)
        wait_s = min(_LONGEST_PAUSE_S, wait_s * 2)


def _sent(run: Run, where: tuple[str, str, str], package: Package) -> bool:
    pod, container, folder = where
    argv = layout.module("receive", str(layout.PACKAGES), folder)
    with run(pod, container, argv) as receiver:
        answers = _Answers(receiver, f"exec in {pod}")
        header = {"digest": package.digest, "bytes": package.bytes_}
        receiver.write(json.dumps(header).encode() + b"\n")
        wanted = bool(answers.next().get("want"))
        if wanted:
            with package.path.open("rb") as file:
                while piece := file.read(_CHUNK_BYTES):
                    receiver.write(piece)
            answers.next()
    return wanted


class _Answers:
    """The lines of JSON that the receiver prints."""

    def __init__(self, receiver: Running, asked: str):
        self._receiver, self._asked, self._rest = receiver, asked, b""

    def next(self) -> dict[str, Any]:
        until = now_s() + _ANSWER_S
        while b"\n" not in self._rest:
            piece = self._receiver.read(1.0)
            if piece is None or now_s() > until:
                why = self._receiver.errors.strip() or "the receiver ended"
                raise ApiError(0, "Interrupted", why, asked=self._asked)
            self._rest += piece
        line, _, self._rest = self._rest.partition(b"\n")
        told: dict[str, Any] = json.loads(line)
        if "error" in told:
            raise ProvisioningError(
                Reason.LAUNCH_FAILED, detail=f"the package store refused the code: {told['error']}"
            )
        return told
