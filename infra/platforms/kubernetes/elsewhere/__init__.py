"""What a run leaves, for whoever looks from another machine: from its pods, then its records.

Does not belong here: bringing it to the machine on which the run was begun (``tending``).
"""
