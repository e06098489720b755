"""What Ray's head tells of work: who does it, what waits, and for how long.

``state`` reads Ray's own tables, ``shapes`` and ``backlog`` judge them (pure), ``watcher`` puts the
answer together. Does not belong here: what is done about it (``infra.policy.demand``).
"""
