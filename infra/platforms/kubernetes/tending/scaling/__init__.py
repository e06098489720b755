"""How many workers there are: the HPA decides; here is what it cannot know, and what it says.

``floor`` and ``costs`` tell it what waits and who is idle, ``events`` and ``leaving`` tell the run
what it did.
Does not belong here: what demand is (``infra.policy``), how a worker drains (``infra.frameworks``).
"""
