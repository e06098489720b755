"""What makes nodes, in its own objects: Karpenter's NodeClaims. Pure.

Does not belong here: what is said of it in events about pods (``scheduling``).
"""
