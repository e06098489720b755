"""The process that owns one local cluster: starts it, scales it, runs the job, releases it.

Belongs here: the loop (``main``), what it owns (``members``, ``driver``), what it decides with
(``scaler``, ``limits``, ``lease``) and what it tells (``desk``).
Does not belong here: the scaling formula (``infra.scaling``), framework facts, retries of a run.
"""
