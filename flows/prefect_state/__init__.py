"""Prefect's picture of our flow runs and what really lives: registration, reconciliation, hooks.

Does not belong here: what a run is at (``tasks.report``), releasing (``infra.lifecycle``).
"""
