"""Spark's own pages take only requests that are signed with the cluster's key.

Spark's filter for that (``JWSFilter``) guards every page of master, workers and drivers: figures,
settings, thread dumps, executors' output, the APIs. With the reverse proxy on, the master's port
leads to the pages of all others, whatever ports those have.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

CONFIGURATION = "spark-defaults.conf"
"""The file of the cluster's secrets that every JVM of Spark reads."""
EVENT_LOGS = "driver/eventlog"
"""The folder among artifacts where drivers write what happened, for Spark's history server."""
_FILTER = "org.apache.spark.ui.JWSFilter"
_KEY = f"spark.{_FILTER}.param.secretKey"
"""Spark shows no value of a setting with "secret" in its name (``spark.redaction.regex``)."""
_KEY_BYTES = 32


def settings() -> dict[str, str]:
    """What master, workers and drivers are told; with a new key."""
    return {
        "spark.ui.filters": _FILTER,
        _KEY: _in_base64(secrets.token_bytes(_KEY_BYTES)),
        "spark.ui.reverseProxy": "true",
        "spark.ui.port": "0",
    }


def bearer(secrets_folder: Path) -> str:
    """The header ``Authorization`` that the pages take, by the key in the cluster's secrets."""
    configuration = (secrets_folder / CONFIGURATION).read_text()
    lines = (line.split(" ", 1) for line in configuration.splitlines())
    (text,) = (pair[1] for pair in lines if pair[0] == _KEY)
    key = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    signed = ".".join(map(_in_base64, (b'{"alg":"HS256"}', b'{"sub":"ebb"}')))
    return f"Bearer {signed}.{_in_base64(hmac.digest(key, signed.encode(), hashlib.sha256))}"


def _in_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
