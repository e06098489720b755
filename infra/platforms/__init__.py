"""Where processes live: this machine (``local``), later pods (``kubernetes``). Same verbs.

Belongs here: one folder a platform that fills in ``base.Platform``, and what all of them share
(``upkeep``, ``run_folder``). Platforms do not know each other.
Does not belong here: what a head or worker is (``infra.frameworks``), rules (``infra.policy``).
"""
