"""What a run may take of a machine that it shares: its output, its processes.

Does not belong here: its time and how long it may do nothing (``infra.platforms.upkeep.work``), the
rules themselves (``infra.policy``), what a user may ask for.
"""
