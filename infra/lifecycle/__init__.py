"""What every run goes through on any platform: submission, steps, attempts, hold, stop, reaper.

Belongs here: what happens to a run and in which order, without Prefect and without a terminal.
Does not belong here: how a platform does it (``infra.platforms``), pure rules (``infra.policy``).
"""
