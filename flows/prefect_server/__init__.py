"""The Prefect server of this machine: started by the first run, shared by all, ends itself.

Belongs here: starting, finding and ending that server, and its database template. Only subprocesses
import Prefect; these modules are quick to import.
Does not belong here: flows, and any use of Prefect's client.
"""
