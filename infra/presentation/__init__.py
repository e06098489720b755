"""Values in, text out: receipts, plots and tables, for the terminal and for Prefect's pages alike.

Does not belong here: any sum, reading records, printing (``flows.cli``).
"""
