"""What a person asks for: the flows, the Python API, the front door.

Belongs here: composition of tasks, and the commands people type.
Does not belong here: what a step does (``tasks``), how a cluster lives (``infra``).
"""
