"""One short-lived certificate per cluster: who holds its key belongs to the cluster.

Head, workers and the driver present the same certificate and trust only it, so another user of the
machine who finds the port gets no further than the handshake.
"""

from __future__ import annotations

import datetime
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID_DAYS = 365
_CLOCK_SLACK = datetime.timedelta(hours=1)


def write_certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Make ``cluster.crt`` and ``cluster.key`` (readable by this user only) unless they exist.

    Returns:
        The certificate's and the key's path.
    """
    certificate_path, key_path = folder / "cluster.crt", folder / "cluster.key"
    if certificate_path.exists() and key_path.exists():
        return certificate_path, key_path
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
    _write_private(
        key_path,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write_private(certificate_path, certificate.public_bytes(serialization.Encoding.PEM))
    return certificate_path, key_path


def _write_private(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
