"""Commands about what there is to run on: nodes, tiers, what is held, what is missing here.

Does not belong here: one run (``runs``), the service and its data (``installation``).
"""
