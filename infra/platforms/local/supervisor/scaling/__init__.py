"""How many workers there are: what waits is judged, and workers are added or asked to leave.

Does not belong here: the rules themselves (``infra.policy``), how a worker is started or drained.
"""
