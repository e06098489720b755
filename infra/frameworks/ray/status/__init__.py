"""What a Ray head tells: who has joined, what runs, what waits and for how long it will.

Does not belong here: what is made of it (``infra.policy.demand``), how the head is started.
"""
