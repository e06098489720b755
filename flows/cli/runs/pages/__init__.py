"""What ``ebb open`` opens in a browser, and how that gets in: no secret is on a command line.

Does not belong here: what the pages say (``infra.presentation``).
"""
