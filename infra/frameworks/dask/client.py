"""A connected Dask client for a session that holds a cluster open."""

from __future__ import annotations

from distributed import Client
from distributed.security import Security


def connect(address: str, environment: dict[str, str]) -> Client:
    """A client of the head at ``address``, presenting the cluster's certificate."""
    security = Security(
        require_encryption=True,
        tls_ca_file=environment["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"],
        tls_client_cert=environment["DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"],
        tls_client_key=environment["DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"],
    )
    return Client(address, security=security)
