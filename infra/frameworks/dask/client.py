"""A connected Dask client for a session that holds a cluster open."""

from __future__ import annotations

from distributed import Client
from distributed.security import Security

from ebbtide.infra.frameworks.dask.configuration import ADDRESS
from ebbtide.infra.frameworks.dask.given import EbbCluster, given
from ebbtide.infra.frameworks.dask.modules import tell


def connect(address: str, environment: dict[str, str]) -> Client:
    """A client of the head at ``address``, presenting the cluster's certificate.

    It has a cluster object, whose ``scale`` and ``wait_for_workers`` bring workers.
    """
    security = Security(
        require_encryption=True,
        tls_ca_file=environment["DASK_DISTRIBUTED__COMM__TLS__CA_FILE"],
        tls_client_cert=environment["DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT"],
        tls_client_key=environment["DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY"],
    )
    run = given({**environment, ADDRESS: address})
    if run is None:
        return Client(address, security=security)
    client = Client(EbbCluster(run, security=security))
    client._start_arg = None  # so that the client closes what was made for it
    client.sync(tell, client, environment)
    return client
