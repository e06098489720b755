"""Words that others chose, shown so that they are nothing but words: on a terminal, in Markdown.

A program's name, a tag or a reason may hold anything: escapes that colour or clear a terminal,
signs that turn the order of letters round, a link. Here they become visible, where it is shown.
Does not belong here: a program's own output, which stays as it is, byte for byte. Pure.
"""

from __future__ import annotations

import json
from typing import Any

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_MARKDOWN = "\\|<>*_`[]!~#&@"
"""Signs that begin something in Markdown; where they stand otherwise does not matter."""
_LINKS = ("://", "www.")
"""What becomes a link by itself."""


def visible(text: str) -> str:
    r"""The text with what would not be seen written out: ``\x1b``, ``\n``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(map(_seen, text))


def markdown(text: str) -> str:
    """The text as it stands, on one line of Markdown: no link, image, tag or end of a cell."""
    text = visible(text)
    for sign in _MARKDOWN:
        text = text.replace(sign, f"\\{sign}")  # Prefect's UI shows entities as they are
    for start in _LINKS:
        text = text.replace(start, f"{start[:-1]}\\{start[-1]}")
    return text


def json_text(data: Any, *, indent: int | None = None) -> str:
    """JSON in which a terminal finds nothing to obey; what it means is the same."""
    text = json.dumps(data, ensure_ascii=False, indent=indent)
    if indent is None and text.isprintable():
        return text
    return "".join(sign if sign == "\n" else _in_json(sign) for sign in text)


def _seen(sign: str) -> str:
    if _is_plain(sign):
        return sign
    code = ord(sign)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no text, as Python keeps it in file names
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x100:
        return _SHORT.get(sign, f"\\x{code:02x}")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _in_json(sign: str) -> str:
    """Everything below the space is written out by JSON itself."""
    return sign if _is_plain(sign) else json.dumps(sign)[1:-1]


def _is_plain(sign: str) -> bool:
    """Printable, or one of the many spaces."""
    return sign.isprintable() or (sign.isspace() and ord(sign) >= 0xA0 and not _breaks(sign))


def _breaks(sign: str) -> bool:
    return sign in "\u2028\u2029"
