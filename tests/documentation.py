"""The commands and programs that README and documentation show, for the tests that run them."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^```(?P<language>\w+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"\s+# .*")
_CONTINUED = re.compile(r"\\\n\s*")


@dataclass(frozen=True)
class Block:
    """One block of code of a page."""

    page: str
    text: str


def blocks(language: str) -> list[Block]:
    """Return all blocks in a language (as it stands behind the three backticks)."""
    return [
        Block(page, textwrap.dedent(found["text"]))
        for page in PAGES
        for found in _BLOCK.finditer((ROOT / page).read_text(encoding="utf-8"))
        if found["language"] == language
    ]


def commands() -> list[str]:
    """Return every command that stands behind a prompt, once, in order, without its comment."""
    lines = [
        line.removeprefix("$ ")
        for block in blocks("console")
        for line in _CONTINUED.sub("", block.text).splitlines()
        if line.startswith("$ ") and not line.startswith("$ #")
    ]
    return list(dict.fromkeys(part.strip() for line in lines for part in _parts(line)))


def _parts(line: str) -> list[str]:
    return _COMMENT.sub("", line).split(";")
