"""One short-lived certificate per cluster: who holds its key belongs to the cluster.

Head, workers and the driver present the same certificate and trust only it, so another user of the
machine who finds the port gets no further than the handshake.
"""

from __future__ import annotations

import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ebbtide.infra.frameworks.plan import SecretFile

CERTIFICATE, KEY = "cluster.crt", "cluster.key"
_VALID_DAYS = 365
_CLOCK_SLACK = datetime.timedelta(hours=1)


def new_certificate(name: str) -> tuple[SecretFile, SecretFile]:
    """A certificate in this name, and its key: the files ``CERTIFICATE`` and ``KEY``."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    return SecretFile(CERTIFICATE, public.decode()), SecretFile(KEY, private.decode())
