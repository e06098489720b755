"""Commands about this installation: start and end its service, its health, backups, events.

Does not belong here: runs (``runs``), the machine's capacity (``machine``).
"""
