"""``ebb up`` as a unit of systemd, for the user who asks.

Does not belong here: installing it. Standard library, and names of ours.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from ebbtide.flows.service.stack import pid_file
from ebbtide.infra.request.catalog import place_of
from ebbtide.infra.request.options import OPTIONS
from ebbtide.infra.settings import Settings

NAME = "ebb.service"
_START_S, _STOP_S = 660, 120
_KEPT = (
    *("PATH", "JAVA_HOME", "KUBECONFIG"),
    *("EBB_CONFIG", "EBB_PREFECT_SERVER", "EBB_WORK_POOL"),
    *(option.variable for option in OPTIONS.values() if option.name not in ("env", "secret")),
)
"""Variables of whoever asks that a unit would not have. No secret may be among them."""
_PLACE = ("EBB_CONTEXT", "EBB_NAMESPACE")
"""Kept as well, unless ebb.yaml says the same: what is changed there counts then."""
_URL = "PREFECT_API_URL"
"""Has a password in it where it has an at sign."""
_SECRET = (
    *("PREFECT_API_KEY", "PREFECT_API_AUTH_STRING", "PREFECT_API_DATABASE_CONNECTION_URL"),
    *("EBB_ENV", "EBB_SECRET"),
)
"""Variables that count for ``ebb up``, and may hold a secret: a unit is no place for them."""


def unit_of(
    settings: Settings, folder: Path, arguments: Sequence[str], environ: Mapping[str, str]
) -> str:
    """Return the text of a unit that brings the stack up with its user's manager.

    Args:
        settings: of the installation that it serves.
        folder: where programs and ebb.yaml are looked for.
        arguments: those of ``ebb up``.
        environ: the environment of whoever asks; what the stack needs of it is written down.

    Returns:
        The unit. It holds no secret: where the environment has one, a comment says where to write
        it down.
    """
    program = (sys.executable, "-m", "ebbtide")
    url = environ.get(_URL, "")
    named = _KEPT if "@" in url else (*_KEPT, _URL)
    kept = {name: environ[name] for name in named if environ.get(name)}
    kept |= _place_of(environ, folder)
    variables = {"EBB_HOME": str(settings.home), **kept}
    secrets = settings.home / "stack" / "environment"
    missing = [name for name in (*_SECRET, _URL) if environ.get(name) and name not in kept]
    return "\n".join(
        [
            f"# ~/.config/systemd/user/{NAME}; then: systemctl --user enable --now {NAME}",
            "# Where it is up already, ebb down comes first.",
            "# Without a login it runs only after: loginctl enable-linger",
            *(f"# {name} may be a secret: write {name}=... into {secrets}" for name in missing),
            "[Unit]",
            f"Description=Ebb for {_plain(folder)}",
            "",
            "[Service]",
            "Type=forking",
            f"PIDFile={_plain(pid_file(settings))}",
            f"WorkingDirectory={_plain(folder)}",
            *(f"Environment={_quoted(f'{name}={text}')}" for name, text in variables.items()),
            f"EnvironmentFile=-{_plain(secrets)}",
            f"ExecStart={_command([*program, 'up', *arguments])}",
            f"ExecStop={_command([*program, 'down'])}",
            f"TimeoutStartSec={_START_S}",
            f"TimeoutStopSec={_STOP_S}",
            "KillMode=mixed",
            "Restart=on-failure",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def _place_of(environ: Mapping[str, str], folder: Path) -> dict[str, str]:
    """Which Kubernetes is meant, where only the environment says it."""
    rest = {name: text for name, text in environ.items() if name not in _PLACE}
    written = place_of(rest, folder)
    named = {name: environ[name] for name in _PLACE if environ.get(name)}
    return {} if named == written else named


def _plain(text: object) -> str:
    """A value that is taken to the end of its line, except for specifiers."""
    return str(text).replace("%", "%%")


def _quoted(text: str) -> str:
    escaped = _plain(text).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _command(argv: Sequence[str]) -> str:
    """A command line; the dollar of a variable is doubled, so that none is put in."""
    return " ".join(_quoted(word.replace("$", "$$")) for word in argv)
