"""One ``EBB_HOME`` as a whole: what it takes on the disk, its backup, what is deleted from it.

Does not belong here: single runs and their records (``infra.records``), Prefect's own database
rows.
"""
