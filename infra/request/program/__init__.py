"""From what a user typed as the program to the command line that starts it, checked.

Does not belong here: options, tiers (``infra.request``), and starting anything.
"""
