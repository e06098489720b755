"""What ``ebb up`` keeps running on this machine: Prefect server, work pool, worker, reaper.

Belongs here: starting and ending them together, and saying how far they are.
Does not belong here: the server's own life (``flows.prefect_server``), what is deployed
(``deployments.yaml``), what the reaper does (``flows.prefect_state.reconcile``).
"""
