"""Commands about runs: start one, follow it, ask why it waits, stop it, what it cost.

Does not belong here: what holds for all runs together (``machine``, ``installation``).
"""
