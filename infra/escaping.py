"""Text that others chose, shown as nothing but text: on a terminal, in Markdown, in a notebook.

A program's name, a tag or a reason may hold anything: escapes that colour or clear a terminal,
signs that turn the order of letters round, a link. Here they become visible, where it is shown.
Does not belong here: a program's own output, which stays as it is, byte for byte. Pure.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_MARKDOWN = "\\|<>*_`[]!~#&@"
"""Signs that begin something in Markdown; where they stand otherwise does not matter."""
_LINKS = ("://", "www.")
"""What becomes a link by itself."""


def visible(text: str) -> str:
    r"""Write out everything in the text that would not be seen: ``\x1b``, ``\n``, ``\u202e``."""
    if text.isprintable():
        return text
    return "".join(map(_seen, text))


def markdown(text: str) -> str:
    """Escape the text so that it stands as it is on one line of Markdown, also in a table cell."""
    text = visible(text)
    for sign in _MARKDOWN:
        text = text.replace(sign, f"\\{sign}")  # Prefect's UI shows entities as they are
    for start in _LINKS:
        text = text.replace(start, f"{start[:-1]}\\{start[-1]}")
    return text


def html_facts(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Return HTML for a notebook: a title, and below it a row for each fact that is not empty."""
    rows = "".join(
        f'<tr><td style="text-align: left">{html.escape(visible(name))}</td>'
        f'<td style="text-align: left">{html.escape(visible(text))}</td></tr>'
        for name, text in facts
        if text
    )
    return f"<div><strong>{html.escape(visible(title))}</strong><table>{rows}</table></div>"


def json_text(data: Any, *, indent: int | None = None) -> str:
    """Return JSON without control characters that a terminal would obey; it means the same."""
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
    """Write out a character that JSON itself would leave as it is."""
    return sign if _is_plain(sign) else json.dumps(sign)[1:-1]


def _is_plain(sign: str) -> bool:
    """Tell whether a character is printable, or one of the many spaces."""
    return sign.isprintable() or (sign.isspace() and ord(sign) >= 0xA0 and not _breaks(sign))


def _breaks(sign: str) -> bool:
    return sign in "\u2028\u2029"
