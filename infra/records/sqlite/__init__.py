"""The ledger as an SQLite file: its safety, its tables, and the only SQL there is.

Belongs here: connection, schema, and one module a table with all its statements.
Does not belong here: deciding anything from what is read; a caller that would need to know SQL.
"""
