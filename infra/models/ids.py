"""Names that are not just any text, so that none is taken for the other."""

from __future__ import annotations

from typing import NewType

RunName = NewType("RunName", str)
"""Of a run, such as ``copper-heron``; its folder is named like it."""
ClusterId = NewType("ClusterId", str)
"""Of a cluster. Opaque: whose it is and which attempt are fields of its record."""
