"""Connections to a head that outlive the links by which they come from outside.

Belongs here: one such connection (``channel``), which both ends use, and the end that is beside the
head (``far``). Standard library only, as all of ``inside``.
Does not belong here: the end on the other machine (``sessions``), which opens the links.
"""
