"""What Spark applications want of their cluster, for its head to tell.

Belongs here: asking drivers by way of the master (``applications``), and what their answers mean
(``figures``). Does not belong here: how many workers that makes.
"""
