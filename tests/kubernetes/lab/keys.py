"""The lab's certificates and kubeconfigs. Made anew for every lab; worth nothing outside of it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.kubernetes.lab.place import FIRST, KUBERNETES_ADDRESS, NODE, SECOND, Lab

_VALID = datetime.timedelta(days=30)
_SLACK = datetime.timedelta(hours=1)

CLIENTS = {
    "admin": ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", ""),
    "scheduler": ("system:kube-scheduler", ""),
    **{node.kubelet: (f"system:node:{node.name}", "system:nodes") for node in (FIRST, SECOND)},
    "proxy": ("system:kube-proxy", ""),
    "kubelet-client": ("apiserver", "system:masters"),
    "simulator": ("simulator", "system:masters"),
}
"""Who they are: user name and group. KWOK, Karpenter and the lab's own servers are the last."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def write(lab: Lab) -> None:
    """Everything under ``keys/``, readable by its owner only."""
    folder = lab.folder / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    authority, front = _authority("ebb-lab"), _authority("ebb-lab-front-proxy")
    _save(folder, "ca", authority)
    _save(folder, "front-proxy-ca", front)
    _save(folder, "front-proxy", _signed(front, "front-proxy-client"))
    _save(folder, "server", _signed(authority, "kube-apiserver", alternatives=_names(lab)))
    _save(folder, "node", _signed(authority, NODE, alternatives=(NODE, lab.address, "127.0.0.1")))
    for name, (user, group) in CLIENTS.items():
        pair = _signed(authority, user, group)
        _save(folder, name, pair)
        _save_kubeconfig(lab, name)
    key = ec.generate_private_key(ec.SECP256R1())
    _private(folder / "service-accounts.key", _key_text(key))


def _names(lab: Lab) -> tuple[str, ...]:
    service = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    addresses = ("127.0.0.1", lab.address, KUBERNETES_ADDRESS)
    return (*service, "kubernetes.default.svc.cluster.local", "localhost", *addresses)


def _authority(name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, subject, key.public_key())
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Pair(builder.sign(key, hashes.SHA256()), key)


def _signed(issuer: Pair, user: str, group: str = "", alternatives: tuple[str, ...] = ()) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
    if group:
        names.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
    builder = _builder(x509.Name(names), issuer.certificate.subject, key.public_key())
    usage = [ExtendedKeyUsageOID.CLIENT_AUTH]
    if alternatives:
        usage.append(ExtendedKeyUsageOID.SERVER_AUTH)
        found = [_alternative(name) for name in alternatives]
        builder = builder.add_extension(x509.SubjectAlternativeName(found), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
    return Pair(builder.sign(issuer.key, hashes.SHA256()), key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SLACK)
        .not_valid_after(now + _VALID)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _save(folder: Path, name: str, pair: Pair) -> None:
    (folder / f"{name}.crt").write_bytes(pair.certificate.public_bytes(serialization.Encoding.PEM))
    _private(folder / f"{name}.key", _key_text(pair.key))


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


def _private(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _save_kubeconfig(lab: Lab, name: str) -> None:
    folder = lab.folder / "keys"
    files = {
        "client-certificate": str(folder / f"{name}.crt"),
        "client-key": str(folder / f"{name}.key"),
    }
    cluster = {"server": lab.server, "certificate-authority": str(folder / "ca.crt")}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": lab.name, "cluster": cluster}],
        "users": [{"name": name, "user": files}],
        "contexts": [{"name": lab.name, "context": {"cluster": lab.name, "user": name}}],
        "current-context": lab.name,
    }
    _private(folder / f"{name}.kubeconfig", json.dumps(config, indent=1).encode())
