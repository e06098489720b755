"""Reading the text of one option: each function returns its value or says what is wrong.

Every function takes what a user typed, and raises a ValueError ``what is wrong; what to write``.
Does not belong here: which option a text is for, where it was found (``infra.request.options``).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from ebbtide.infra.models.job import RUN_NAME
from ebbtide.infra.models.resources import parse_duration_s, parse_memory
from ebbtide.infra.request.hints import did_you_mean

RESERVED_VARIABLES = (
    "EBB_BRIDGED",
    "EBB_CLUSTER",
    "EBB_HOME",
    "EBB_HOOK",
    "EBB_NOTES",
    "EBB_OUTPUT_DIR",
    "EBB_PROCESS",
    "EBB_ROLE",
    "EBB_RUN",
)
"""Ebb marks and finds its processes by these; a program's ``--env`` must not overwrite them."""

_MIN_OUTPUT_BYTES = 2**20
_MIN_PROCESSES = 10

_SWITCH = {
    **dict.fromkeys(("yes", "true", "on", "1"), True),
    **dict.fromkeys(("no", "false", "off", "0"), False),
}

_PRIORITY = re.compile(r"[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?")

_GIT_OVER = ("https", "http", "ssh", "git", "file")

RETRY_REASONS = ("capacity", "infra", "job")


def as_typed(value: Any, separator: str) -> str:
    """What a user would have typed for a value from ebb.yaml or from Python.

    Raises:
        ValueError: nothing can be typed for it.
    """
    if isinstance(value, (list, tuple)) and separator:
        return separator.join(as_typed(part, "") for part in value)
    if isinstance(value, (dict, list, tuple)):
        raise ValueError("it holds several values; write a single one")
    if value is None:
        raise ValueError("a part of it has no value; write one, or two quotes for an empty one")
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse_word(text: str) -> str:
    """Any text that is not empty, without the spaces around it."""
    if not text.strip():
        raise ValueError("it is empty; leave it out or write a word")
    return text.strip()


def parse_priority(text: str) -> str:
    """The name of a PriorityClass.

    Raises:
        ValueError: none could have it.
    """
    if not _PRIORITY.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no name of a PriorityClass; kubectl get priorityclasses")
    return text.strip()


def parse_names(text: str) -> tuple[str, ...]:
    """Words with commas between, each once, in the order given here."""
    return distinct(parse_word(word) for word in text.split(","))


def parse_choice(*known: str) -> Callable[[str], str]:
    """Return a parser that accepts these texts and nothing else."""

    def parse(text: str) -> str:
        if text.strip() in known:
            return text.strip()
        hint = did_you_mean(text, known, otherwise="write one of them")
        raise ValueError(f"{text!r} is not one of {', '.join(known)}; {hint}")

    return parse


def parse_choices(*known: str) -> Callable[[str], tuple[str, ...]]:
    """Return a parser of several of these texts with commas between, in the order given here."""
    parse_one = parse_choice(*known)

    def parse(text: str) -> tuple[str, ...]:
        asked = [parse_one(word) for word in text.split(",")]
        return tuple(word for word in known if word in asked)

    return parse


def parse_switch(text: str) -> bool:
    """On or off, in any of the words that people use for it."""
    word = text.strip().lower()
    if word not in _SWITCH:
        raise ValueError(f"{text!r} is neither yes nor no; write one of them")
    return _SWITCH[word]


def parse_percent(text: str) -> float:
    """A percentage from 1 to 1000, with or without the sign."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%?", text.strip())
    if not match or not 1 <= float(match[1]) <= 1000:
        raise ValueError(f"{text!r} is not a percentage from 1 to 1000; write it like 80")
    return float(match[1])


def parse_attempts(text: str) -> int:
    """A number of attempts, from 1 to 10."""
    if not re.fullmatch(r"[1-9]|10", text.strip()):
        raise ValueError(f"{text!r} is not a number of attempts; write 1 to 10")
    return int(text)


def parse_replacements(text: str) -> int:
    """A number of clusters, from 0 to 10."""
    if not re.fullmatch(r"\d|10", text.strip()):
        raise ValueError(f"{text!r} is not a number of clusters; write 0 to 10")
    return int(text)


def parse_lease_s(text: str) -> float:
    """The duration of a lease in seconds, two or more."""
    seconds = parse_duration_s(text)
    if seconds < 2:
        raise ValueError(f"{text!r} is too short for a lease; the minimum is 2s")
    return seconds


def parse_duration_or_never_s(text: str) -> float | None:
    """A duration in seconds; None for ``never`` and ``none``."""
    return None if text.strip() in ("never", "none") else parse_duration_s(text)


def parse_workers_or_none(text: str) -> int | None:
    """A number of workers, one or more; None for ``none``."""
    word = text.strip()
    if word == "none":
        return None
    if not word.isdecimal() or int(word) < 1:
        raise ValueError(f"{text!r} is not a number of workers; write 1 or more, or none")
    return int(word)


def parse_output_bytes(text: str) -> int | None:
    """A number of bytes, one MiB or more; None for ``none``."""
    if text.strip() == "none":
        return None
    try:
        amount = parse_memory(text)
    except ValueError as error:
        raise ValueError(str(error).replace("of memory", "of output")) from None
    if amount < _MIN_OUTPUT_BYTES:
        raise ValueError(f"{text!r} is too little output to keep; the minimum is 1Mi")
    return amount


def parse_processes(text: str) -> int | str | None:
    """A number of processes; ``auto`` stays as it is, None for ``none``."""
    word = text.strip()
    if word in ("auto", "none"):
        return None if word == "none" else word
    if not word.isdecimal() or int(word) < _MIN_PROCESSES:
        rule = f"write {_MIN_PROCESSES} or more, auto, or none"
        raise ValueError(f"{text!r} is not a number of processes; {rule}")
    return int(word)


def parse_retry(text: str) -> tuple[str, ...]:
    """The families of failures to retry, in the order of ``RETRY_REASONS``; empty for ``never``."""
    if text.strip() == "never":
        return ()
    return parse_choices(*RETRY_REASONS)(text)


def parse_outputs(text: str) -> str:
    """A URL, or ``volume://CLAIM/FOLDER``; empty for ``here``, where the run was begun."""
    word = text.strip()
    if word == "here":
        return ""
    scheme, _, rest = word.partition("://")
    example = "write here, a URL like s3://bucket/folder, or volume://CLAIM/FOLDER"
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not rest.strip("/"):
        raise ValueError(f"{text!r} is not a place for outputs; {example}")
    place = rest.partition("/")[0]
    _refuse_password(place)
    folders = rest.replace(RUN_NAME, "run").split("/")
    if ".." in folders or {"{", "}"} & set("".join(folders)):
        raise ValueError(f"{text!r} has .. or another word than {RUN_NAME} in brackets; {example}")
    if scheme == "volume" and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?", place):
        raise ValueError(f"{place!r} is not the name of a PersistentVolumeClaim; {example}")
    return word


def parse_code(text: str) -> str:
    """``git+URL@REVISION`` or the URL of an archive; empty for ``here``, the workdir."""
    word = text.strip()
    if word == "here":
        return ""
    example = (
        "write here, git+https://host/repository@revision, or the URL of a .tar.gz or .zip,"
        " with #subdirectory=… or #sha256=… behind it"
    )
    url, hashed, fragment = word.partition("#")
    scheme, _, rest = url.removeprefix("git+").partition("://")
    if not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme) or not rest.strip("/"):
        raise ValueError(f"{text!r} is not a place for code; {example}")
    if url.startswith("git+") and scheme not in _GIT_OVER:
        raise ValueError(f"git is not asked over {scheme}; write one of {', '.join(_GIT_OVER)}")
    _refuse_password(rest.partition("/")[0])
    known = r"subdirectory=[^&]+" + r"|sha256=[0-9a-f]{64}" * (not url.startswith("git+"))
    parts = fragment.split("&") if hashed else []
    if not all(re.fullmatch(known, part) for part in parts) or ".." in re.split("[/=]", fragment):
        raise ValueError(f"what follows # in {text!r} is not understood; {example}")
    return word


def parse_code_limit(text: str) -> int:
    """A number of bytes, one MiB or more."""
    amount = parse_output_bytes(text)
    if amount is None:
        raise ValueError("there is no way without a limit; write it like 500Mi")
    return amount


def _refuse_password(place: str) -> None:
    """Of a URL's host, with what stands before it: specs are for everybody to read."""
    user, at, _ = place.rpartition("@")
    if at and ":" in user:
        raise ValueError("the URL has a password in it; leave it out, and give it by --secret")


def parse_run_name(text: str) -> str:
    """A run's name: lower case letters, digits and dashes, 40 characters or fewer."""
    if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?", text):
        return text
    near = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40].strip("-")
    rule = "write at most 40 letters a-z, digits and dashes between them"
    raise ValueError(f"{text!r} is not a run's name; {rule}" + (f", like {near}" if near else ""))


def parse_variable_name(text: str) -> str:
    """The name of an environment variable that Ebb does not set itself."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise ValueError(f"{text!r} is not a variable's name; write letters, digits and _")
    if text in RESERVED_VARIABLES:
        raise ValueError(f"{text} is set by ebb itself; choose another name")
    return text


def parse_secret(text: str) -> str:
    """``NAME``, a variable of this shell, or ``NAME=secret/key``, of a Secret that is there."""
    name, equals, place = text.partition("=")
    parse_variable_name(name)
    if equals and not re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9._-]+", place):
        rule = f"write {name}=SECRET/KEY for a key of a Secret, or {name} for a variable"
        raise ValueError(f"what follows {name}= is not the place of a secret; {rule}")
    return text


def one_for_each_name(texts: Iterable[str]) -> tuple[str, ...]:
    """The last text of each name; what follows an equals sign is not part of the name."""
    return tuple({text.partition("=")[0]: text for text in texts}.values())


def parse_assignment(text: str) -> tuple[str, str]:
    """Name and value of ``NAME=value``."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} has no value; write it like NAME=value")
    return parse_variable_name(name), value


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names without repetitions, each at its first place."""
    return tuple(dict.fromkeys(names))
