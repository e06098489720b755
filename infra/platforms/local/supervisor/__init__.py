"""The process that owns one local cluster: starts it, scales it, runs the job, releases it.

Belongs here: the loop (``main``), what it owns (``members``, ``program``), what it decides with
(``scaler``, ``bounds``) and what it tells (``status``, ``usage``).
Does not belong here: rules without I/O (``infra.policy``), framework facts, retries of a run.
"""
