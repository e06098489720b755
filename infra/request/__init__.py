"""From a request to a checked ``RunSpec``: options, catalog, program, the name of the run.

Belongs here: reading ``ebb.yaml``, judging a request as a whole, naming the nearest valid word.
Does not belong here: what is free at the moment (records, platforms), asking for it (lifecycle).
"""
