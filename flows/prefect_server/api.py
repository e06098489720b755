"""A Prefect server's API over plain HTTP, and the right to use it. Imports no Prefect.

A server of ours wants the secret that lies in this installation's home. For one that was named, the
settings of Prefect's own client hold, from the environment or the active profile: see
https://docs.prefect.io/v3/concepts/settings-and-profiles.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import secrets
import ssl
import tomllib
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ebbtide.infra.errors import ConfigurationError, Problem, ProvisioningError
from ebbtide.infra.models.phases import Reason

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNAUTHORIZED = (401, 403)
_TRUE = ("1", "true", "yes", "on")


@dataclass(frozen=True)
class Api:
    """Where a server answers, and the credentials that it asks for."""

    url: str
    """Such as ``http://127.0.0.1:4200/api``."""
    authorization: str = field(default="", repr=False)
    """The value of that header; empty for a server that wants none."""
    certificates: str = ""
    """A file of the certificates it is trusted by; empty: those of the system."""
    verified: bool = True
    """Whether its certificate is looked at."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Others that every request carries."""

    def call(self, path: str, body: Any = None, *, method: str = "", timeout_s: float) -> bytes:
        """Send one request to the API and return the body of the answer.

        Args:
            path: below the API, such as ``flow_runs/filter``.
            body: sent as JSON; None sends none.
            method: the HTTP method; by default POST with a body and GET without one.
            timeout_s: seconds to wait for the connection, and for each part of the answer.

        Returns:
            The body of the answer, as bytes.

        Raises:
            urllib.error.HTTPError: the server answered with an error.
            OSError: it did not answer.
        """
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            f"{self.url.rstrip('/')}/{path}",
            data,
            {**self.headers, "Content-Type": "application/json"},
            method=method or ("GET" if data is None else "POST"),
        )
        if self.authorization:
            request.add_unredirected_header("Authorization", self.authorization)
        try:
            with self._opener.open(request, timeout=timeout_s) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:  # whoever catches it may read what was said, and need not close anything
                said = io.BytesIO(error.read())
            raise urllib.error.HTTPError(
                error.url, error.code, str(error.reason), error.headers, said
            ) from None

    @cached_property
    def _opener(self) -> urllib.request.OpenerDirector:
        context = ssl.create_default_context(cafile=self.certificates or None)
        if not self.verified:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
        if is_loopback(self.url):
            handlers.append(urllib.request.ProxyHandler({}))  # never through a proxy
        return urllib.request.build_opener(*handlers)


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine's loopback."""
    return urllib.parse.urlsplit(url).hostname in _LOOPBACK


def named(environ: Mapping[str, str]) -> Api | None:
    """Return the server that ``PREFECT_API_URL`` names, as Prefect's own client would use it."""
    url = environ.get("PREFECT_API_URL")
    if not url:
        return None
    profile = active_profile(environ)

    def setting(name: str) -> str:
        return environ.get(name) or profile.get(name, "")

    password, key = setting("PREFECT_API_AUTH_STRING"), setting("PREFECT_API_KEY")
    return Api(
        url,
        authorization=basic(password) if password else f"Bearer {key}" if key else "",
        certificates=setting("PREFECT_API_SSL_CERT_FILE"),
        verified=setting("PREFECT_API_TLS_INSECURE_SKIP_VERIFY").lower() not in _TRUE,
        headers=_json_object(setting("PREFECT_CLIENT_CUSTOM_HEADERS")),
    )


def active_profile(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of Prefect's active profile; empty when none can be read."""
    home = environ.get("PREFECT_HOME") or "~/.prefect"
    path = Path(environ.get("PREFECT_PROFILES_PATH") or f"{home}/profiles.toml").expanduser()
    with contextlib.suppress(OSError, ValueError):
        found = tomllib.loads(path.read_text())
        name = environ.get("PREFECT_PROFILE") or found.get("active")
        profile = found.get("profiles", {}).get(name, {})
        return {key: str(value) for key, value in profile.items()}
    return {}


def basic(auth_string: str) -> str:
    """Return the header that Prefect's client makes of an auth string."""
    return f"Basic {base64.b64encode(auth_string.encode()).decode()}"


def check(api: Api, environ: Mapping[str, str], *, timeout_s: float) -> None:
    """Check that a Prefect server answers and accepts our credentials.

    Args:
        api: the server, as the environment names it.
        environ: where its credentials were looked for; for the message.
        timeout_s: seconds to wait for an answer.

    Raises:
        ProvisioningError: PREFECT_UNREACHABLE, it does not answer.
        ConfigurationError: PREFECT_REFUSES, it refuses the credentials; names their variable.
    """
    try:
        api.call("work_pools/count", {}, timeout_s=timeout_s)
    except urllib.error.HTTPError as error:
        if error.code in _UNAUTHORIZED:
            raise refused_credentials(api.url, error.code, environ) from error
        # It is there; what else it thinks of us is for Prefect's own client to find out.
    except (OSError, ValueError) as error:
        raise ProvisioningError(
            Reason.PREFECT_UNREACHABLE,
            detail=f"PREFECT_API_URL is {api.url}: {getattr(error, 'reason', error)}",
            hint="start that server, or unset PREFECT_API_URL to use a local one",
        ) from error


def refused_credentials(url: str, code: int, environ: Mapping[str, str]) -> ConfigurationError:
    """Make an error of an answer 401 or 403 that names the variable with the credentials.

    Args:
        url: of the API.
        code: of the answer.
        environ: where the variables were looked for.

    Returns:
        An error with the reason PREFECT_REFUSES; it is not raised here.
    """
    names = [name for name in ("PREFECT_API_AUTH_STRING", "PREFECT_API_KEY") if environ.get(name)]
    if names:
        summary = f"{url} answers {code}: it refuses the {names[0]} that is set"
        hint = f"set {names[0]} to what that server accepts"
    else:
        summary = f"{url} answers {code}: it asks for credentials"
        hint = "set PREFECT_API_AUTH_STRING (a server of your own) or PREFECT_API_KEY (Cloud)"
    return ConfigurationError([Problem(Reason.PREFECT_REFUSES, summary, hint)])


def auth_file(home: Path) -> Path:
    """Return the path of the file with the secret of this installation's own server."""
    return home / "prefect" / "auth"


def own_auth_string(home: Path) -> str:
    """Return the secret of this installation's own server; the first call makes it."""
    path = auth_file(home)
    draft = path.with_name(f"auth.{os.getpid()}")
    if not path.exists():
        draft.unlink(missing_ok=True)
        made = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(made, "w") as file:
            file.write(f"ebb:{secrets.token_urlsafe(32)}")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # whole or not at all, and the first stays
        draft.unlink()
    return path.read_text().strip()


def _json_object(text: str) -> dict[str, str]:
    with contextlib.suppress(ValueError, AttributeError):
        return {str(key): str(value) for key, value in json.loads(text or "{}").items()}
    return {}
