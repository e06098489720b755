"""The certificate of a server that others reach: its names, and one made here.

Apart from :mod:`ebbtide.flows.prefect_server.bind`, as reading certificates takes a library that
costs ``ebb run``, which never needs it, some 30 ms to import.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import socket
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ebbtide.flows.prefect_server.bind import LOOPBACK, Bind
from ebbtide.flows.prefect_server.doorkeeper import LOOPBACK_HOSTS
from ebbtide.infra.errors import ConfigurationError, Problem
from ebbtide.infra.models.phases import Reason

_EVERYWHERE = ("0.0.0.0", "::")
_VALID = dt.timedelta(days=825)
"""The longest that browsers take; a new one is made when the old one is over."""
_CLOCK_SLACK = dt.timedelta(hours=1)


def names(bind: Bind) -> tuple[str, ...]:
    """All names and addresses that a request may call the server by, without ports."""
    if bind.host in LOOPBACK_HOSTS:
        return tuple(sorted(LOOPBACK_HOSTS))
    own = socket.gethostname()
    given = () if bind.host in _EVERYWHERE else (bind.host,)
    return tuple(dict.fromkeys([*given, *_certified(bind), own, *sorted(LOOPBACK_HOSTS)]))


def own_name(bind: Bind) -> str:
    """The name by which this machine's own clients call it; its certificate has that name."""
    reached = LOOPBACK if bind.host in (*_EVERYWHERE, *LOOPBACK_HOSTS) else bind.host
    certified = _certified(bind)
    return reached if not certified or reached in certified else certified[0]


def trusted_by(bind: Bind) -> str:
    """File of the certificate that clients must know; empty when the usual authorities do."""
    if not bind.certificate:
        return ""
    found = x509.load_pem_x509_certificates(Path(bind.certificate).read_bytes())[0]
    return bind.certificate if found.issuer == found.subject else ""


def _certified(bind: Bind) -> tuple[str, ...]:
    return names_of(Path(bind.certificate)) if bind.certificate else ()


def checked(host: str, certificate: str, key: str, *, self_signed: bool, folder: Path) -> Bind:
    """Check where the server was asked to listen, and make a certificate when one is wanted.

    Args:
        host: an address of this machine, or a name of one.
        certificate: file of the server's certificate; empty for none.
        key: file of its key.
        self_signed: whether a certificate is to be made, and kept in ``folder``.
        folder: a private folder; need not exist.

    Returns:
        The address with the certificate that belongs to it.

    Raises:
        ConfigurationError: OPTION_INVALID, for all that is wrong.
    """
    problems = list(_problems(host, certificate, key, self_signed=self_signed))
    if problems:
        raise ConfigurationError(problems)
    if self_signed:
        return self_signed_bind(host, folder)
    files = (str(Path(file).absolute()) for file in (certificate, key) if file)
    return Bind(host, *files)


def _problems(host: str, certificate: str, key: str, *, self_signed: bool) -> list[Problem]:
    found = []
    if bool(certificate) != bool(key):
        found.append(_invalid("--tls-cert and --tls-key belong together", "give both"))
    elif certificate and self_signed:
        found.append(_invalid("--tls makes a certificate, --tls-cert names one", "give one"))
    elif not certificate and not self_signed and host not in LOOPBACK_HOSTS:
        hint = "add --tls-cert FILE --tls-key FILE, or --tls for a certificate made here"
        found.append(_invalid(f"--host {host} is reached by others, so it needs TLS", hint))
    for file in (certificate, key):
        if file and not os.access(file, os.R_OK):
            found.append(_invalid(f"{file} cannot be read", "name a PEM file of yours"))
    if certificate and not found:
        try:
            names_of(Path(certificate))
        except ValueError as error:
            found.append(_invalid(f"{certificate} is no certificate: {error}", "name a PEM file"))
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        found.append(_invalid(f"--host {host}: {error.strerror}", "name an address of it"))
    return found


def _invalid(summary: str, hint: str) -> Problem:
    return Problem(Reason.OPTION_INVALID, summary, hint)


def names_of(certificate: Path) -> tuple[str, ...]:
    """Host names and addresses that a certificate is for; names with a wildcard are left out.

    Raises:
        ValueError: it is none.
    """
    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    try:
        listed = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    hosts = [name for name in listed.get_values_for_type(x509.DNSName) if "*" not in name]
    return (*hosts, *map(str, listed.get_values_for_type(x509.IPAddress)))


def self_signed_bind(host: str, folder: Path) -> Bind:
    """Return an address with a certificate for this machine's names, made anew on expiry."""
    certificate, key = folder / f"tls-{host}.crt", folder / f"tls-{host}.key"
    bind = Bind(host, str(certificate), str(key))
    if certificate.exists() and key.exists() and not _is_over(certificate):
        return bind
    called = names(Bind(host)) if host in LOOPBACK_HOSTS else (*_given(host), *LOOPBACK_HOSTS)
    secret = ec.generate_private_key(ec.SECP256R1())
    _write_private(
        key,
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )
    _write_private(certificate, _signed(secret, called).public_bytes(serialization.Encoding.PEM))
    return bind


def _given(host: str) -> tuple[str, ...]:
    own = (socket.gethostname(), socket.getfqdn())
    return tuple(dict.fromkeys(own if host in _EVERYWHERE else (host, *own)))


def _is_over(certificate: Path) -> bool:
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    return found.not_valid_after_utc < dt.datetime.now(dt.UTC) + _CLOCK_SLACK


def _signed(secret: ec.EllipticCurvePrivateKey, called: tuple[str, ...]) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, called[0][:64])])
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SLACK)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in called]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(secret, hashes.SHA256())
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
