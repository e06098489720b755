"""How many workers there are: workers are added or asked to leave.

Does not belong here: what waits (``infra.platforms.upkeep.demand``), the rules themselves
(``infra.policy``), how a worker is started or drained.
"""
