"""x, does not belong here"""
