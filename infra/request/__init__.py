"""From words to a checked ``RunSpec``: options, the catalog, the program, the run's name.

Belongs here: reading ``ebb.yaml``, judging a request as a whole, naming the nearest valid word.
Does not belong here: what is free at the moment (records, platforms), asking for it (lifecycle).
"""
