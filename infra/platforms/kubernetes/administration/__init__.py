"""What an administrator prepares once for all who use a namespace: the catalog, rights, the rest.

Belongs here: reading that and saying what is missing. Does not belong here: runs.
"""
