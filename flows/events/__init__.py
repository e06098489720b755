"""Events that start runs: sending them to Prefect, keeping those that no server takes.

Belongs here: Prefect's event API over plain HTTP, and what waits on disk. Imports no Prefect.
Does not belong here: what an event leads to (``flows.retrain``), the command
(``flows.cli.installation.emit``).
"""
