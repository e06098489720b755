"""Writers of Prefect's SQLite take turns, instead of failing or blocking each other.

WAL and a busy time-out of a minute are Prefect's own settings, and do not help: its transactions
begin as readers, and SQLite refuses at once ("database is locked") to make a writer of a reader
whose picture is old. Others sit in the busy handler, each with a connection, until the 15 of the
pool are used up and whoever writes waits 30 s for a second one. Measured with 30 flow runs of seven
empty tasks, on two cores: 92 to 182 s and up to 200 KiB of tracebacks; with turns 4 s and no line.

All that is needed is one queue in the server's process: a transaction begins as a writer, when it
is its turn, and takes no connection before. Prefect provides the place to say so
(``set_database_config``).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from contextvars import ContextVar
from weakref import WeakKeyDictionary

from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import set_database_config
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL
from sqlalchemy.ext.asyncio import AsyncSession, AsyncSessionTransaction

_QUEUES: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
_has_turn: ContextVar[bool] = ContextVar("has_turn", default=False)


class TakingTurns(AioSqliteConfiguration):
    """Prefect's configuration of SQLite, with one writer at a time."""

    @contextlib.asynccontextmanager
    async def begin_transaction(
        self, session: AsyncSession, with_for_update: bool = False
    ) -> AsyncGenerator[AsyncSessionTransaction, None]:
        """Begin when it is our turn. One within another is not made to wait for that."""
        if _has_turn.get():
            async with super().begin_transaction(session, with_for_update) as transaction:
                yield transaction
            return
        queue = _QUEUES.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with queue:
            token = _has_turn.set(True)
            try:
                async with super().begin_transaction(session, True) as transaction:
                    yield transaction
            finally:
                _has_turn.reset(token)


def take_turns() -> None:
    """Let the writers of the server in this process take turns, if its database is SQLite."""
    url = PREFECT_API_DATABASE_CONNECTION_URL.value()
    if url and url.startswith("sqlite"):
        set_database_config(TakingTurns(connection_url=url))
