"""What the checks of ``ebb doctor`` use of an API server."""

from __future__ import annotations

from typing import Any, Protocol

from ebbtide.infra.models.hardware import NodePool
from ebbtide.infra.platforms.kubernetes.client import Request
from ebbtide.infra.platforms.kubernetes.kinds import Kind


def label_of(pool: NodePool) -> str:
    """The label of a pool's nodes, as a selector spells it."""
    return ",".join(f"{key}={value}" for key, value in pool.selector.items())


class Asks(Protocol):
    """What of ``Api`` is used here."""

    namespace: str

    def ask(self, request: Request) -> Any:
        """Send one question."""
        ...

    def may(self, verb: str, kind: Kind, part: str = "") -> bool:
        """Whether these credentials allow something.

        Args:
            verb: such as ``create``.
            kind: of what.
            part: such as ``exec``.

        Returns:
            What the server says of itself.
        """
        ...
