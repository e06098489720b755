"""What users have set up for Spark and Java on their machine, and what of it a cluster takes.

Belongs here: reading the user's files and variables, before anything is started.
Does not belong here: the settings of ours (``framework``).
"""
