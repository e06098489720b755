"""What runs asked for, used, wasted, cost and saved: sums over records.

Does not belong here: measuring (platforms), words and plots (``infra.presentation``).
"""
