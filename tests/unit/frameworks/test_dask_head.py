"""What Dask's head answers while the dashboard is still being imported."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from distributed.http.routing import RoutingApplication
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from ebbtide.infra.frameworks.dask import head


def test_dashboard_that_is_still_starting_says_so_and_looks_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def attempt() -> None:
        pages = RoutingApplication()
        server = HTTPServer(pages)
        listening, port = bind_unused_port()
        server.add_sockets([listening])
        imported = asyncio.Event()

        async def importing(*_: object) -> object:
            await imported.wait()
            return SimpleNamespace(connect=lambda *_, **__: None)

        monkeypatch.setattr(asyncio, "to_thread", importing)
        scheduler = SimpleNamespace(http_application=pages, http_server=server)
        showing = asyncio.create_task(head.show_dashboard(scheduler))

        async def ask() -> tuple[int, str | None]:
            url = f"http://127.0.0.1:{port}/status"
            answer = await AsyncHTTPClient().fetch(url, raise_error=False)
            return answer.code, answer.headers.get("Refresh")

        assert await ask() == (503, "1")
        imported.set()
        await showing
        assert await ask() == (404, None)
        server.stop()

    asyncio.run(attempt())
