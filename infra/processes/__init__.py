"""Processes of this machine: which one it is, whether it lives, what it finds in its environment.

Belongs here: what everything that is a process needs, wherever its clusters live: a flow, the local
Prefect server, `ebb up`, and the local platform's own. Does not belong here: what carries the mark
of a cluster, and ending all of it (``infra.platforms.local``).
"""
