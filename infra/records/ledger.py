"""The ledger: what was asked for, what is, and what happened, shared by all processes here.

Belongs here: putting the tables together.
Does not belong here: deciding anything from it; admission is in ``infra.platforms.local.pool``.
"""

from __future__ import annotations

from ebbtide.infra.records.sqlite.clusters import ClusterTable
from ebbtide.infra.records.sqlite.events import EventTable
from ebbtide.infra.records.sqlite.pruning import PrunedTables
from ebbtide.infra.records.sqlite.registrations import RegistrationTable
from ebbtide.infra.records.sqlite.runs import RunTable
from ebbtide.infra.records.sqlite.shares import ShareTable
from ebbtide.infra.records.sqlite.usage import UsageTable


class Ledger(
    RunTable, ClusterTable, ShareTable, EventTable, UsageTable, RegistrationTable, PrunedTables
):
    """The store of this machine: one SQLite file. Not for sharing between threads: open one each.

    Raises (from every method):
        ProvisioningError: INFRA:LEDGER_UNWRITABLE when the disk is full or the file is locked.
        ConfigurationError: LEDGER_NEWER, NO_PERMISSION when it cannot be used at all.
    """
