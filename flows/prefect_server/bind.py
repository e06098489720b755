"""Where the server of this machine listens: on loopback, or for others too and then by TLS only."""

from __future__ import annotations

from dataclasses import dataclass

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Bind:
    """An address and, unless only this machine can reach it, a certificate."""

    host: str = LOOPBACK
    certificate: str = ""
    """File of the certificate, and of those between it and its authority; empty: plain HTTP."""
    key: str = ""
    """File of its private key."""

    @property
    def scheme(self) -> str:
        """The scheme of the server's URL: ``http`` or ``https``."""
        return "https" if self.certificate else "http"
