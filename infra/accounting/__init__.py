"""What runs asked for, used, wasted, cost and saved: sums over records.

Does not belong here: measuring (platforms), text and plots (``infra.presentation``).
"""
