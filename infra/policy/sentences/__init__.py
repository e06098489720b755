"""What a process that died has said: the line that tells why, and what a known line means.

Pure: texts in, texts out. Does not belong here: reading logs, and sentences that Ebb writes itself.
"""
