"""The command ``ebb``: what a person types and sees.

Belongs here: taking command lines apart, showing things; the only place that knows rich and
click.
Does not belong here: Prefect (importing it costs seconds), and decisions of any kind.
"""
