"""What a run may take and do: its output, its processes, its time, and how long it may do nothing.

Does not belong here: the rules themselves (``infra.policy``), what a user may ask for.
"""
