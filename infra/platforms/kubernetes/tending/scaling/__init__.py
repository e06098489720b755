"""How many workers there are: kept from being too few, the idlest first to go, each change told.

Does not belong here: deciding by use, which is the HPA's, and the rule of demand (``infra.policy``).
"""
