"""A module that only PYTHONPATH leads to."""

SAYS = "imported by PYTHONPATH"
