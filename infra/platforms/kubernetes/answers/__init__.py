"""What comes back from the API server, before anybody reads what it means.

Does not belong here: sending questions (``client``), errors (``api_error``).
"""
