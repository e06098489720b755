"""What the programs in pods are told on their command lines: places and numbers, never secrets."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSettings:
    """Where the user's code comes from and goes to."""

    digest: str
    """Of its package, SHA-256 in hex; empty: none is sent, the image has all."""
    store: str
    """URL of the package store, without a path."""
    secrets: str
    """The folder with the cluster's secret."""
    folder: str
    """Where it is unpacked."""
    workdir: str
    """Where processes then run."""
    wait_s: float
    """How long to wait for it, in seconds."""
    url: str = ""
    """Of an archive that is fetched instead (see ``models.job.code_source``); empty: none is."""
    framework: str = ""
    """The distribution whose version must be that of the head; empty: nothing is compared."""
    python_parts: int = 0
    """How much of Python's version must be (see ``frameworks.base.Framework``)."""
    head: str = ""
    """URL of the store beside the head, which says what that has."""
    termination: str = ""
    """The file for the kubelet, of a member."""
    ebb: str = ""
    """The version of Ebb that submits it, which must be that of the image; empty: not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BesideSettings:
    """What a framework wants to run beside a program (see ``Framework.beside``)."""

    argv: tuple[str, ...]
    """With ``$(POD_IP)`` and ``$(POD_NAME)`` as they are."""
    env: dict[str, str]
    not_for_tasks: dict[str, str]
    """See ``frameworks.base.ProcessSpec``."""
    log: str
    """The file for what it prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSettings:
    """What the wrapper of the user's program is told."""

    run: str
    code: CodeSettings
    framework: str
    """Whose hook the program gets; ``none``: it has no cluster and gets none."""
    bridge: bool
    head_file: str
    """Where it is written how the head is asked; empty: there is none."""
    min_workers: int
    """How many shall have registered before it begins."""
    wait_s: float
    """How long to wait for them, in seconds."""
    log: str
    """The folder for the copy of its output."""
    termination: str
    """The file for the kubelet."""
    ready_bind: str
    ready_port: int
    """Where it says that the program runs; 0: nowhere."""
    told_to_begin: bool = False
    """Whether it waits until somebody tells it to begin (see ``begin.entrance``)."""
    grace_s: float = 3.0
    """From SIGTERM to SIGKILL."""
    outputs: str = ""
    """The URL to which its output folder is brought; empty: it stays where it is."""
    output: str = ""
    """That folder."""
    store_within_s: float = 25.0
    """From SIGTERM until what has not been brought there is left."""
    limit_bytes: int = 64 * 2**20
    """Kept of each of its two outputs."""
    history: str = ""
    """A folder that is there before it begins, for what its framework writes of it; empty: none."""
    beside: BesideSettings | None = None
    """What runs beside it, and is there before it begins; None: nothing."""


def to_text(settings: CodeSettings | ProgramSettings) -> str:
    """Return settings as one word of a command line."""
    return json.dumps(asdict(settings))


def code_settings(text: str) -> CodeSettings:
    """Read what ``to_text`` wrote."""
    return _known(CodeSettings, json.loads(text))


def program_settings(text: str) -> ProgramSettings:
    """Read what ``to_text`` wrote."""
    found: dict[str, Any] = json.loads(text)
    beside = found.pop("beside", None)
    found["code"] = _known(CodeSettings, found["code"])
    return _known(
        ProgramSettings,
        {**found, "beside": _known(BesideSettings, beside) if beside else None},
    )


def _known(kind: type[T], found: dict[str, Any]) -> T:
    """Without what another version of Ebb has added: an image must be able to say which it has."""
    names = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in found.items() if name in names})
