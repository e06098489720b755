"""Values only: resources, tiers, clusters, jobs, phases and reasons.

Belongs here: frozen dataclasses, enums and pure functions over them.
Does not belong here: I/O, clocks, randomness from the operating system, anything that can fail for
a reason outside its own arguments.
"""
