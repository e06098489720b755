"""The relay of the benchmarks counts each request once, however its bytes arrive."""

from __future__ import annotations

import pytest

from benchmarks.counting_proxy import Traffic

REQUESTS = (
    b"POST /api/flows/ HTTP/1.1\r\nHost: x\r\nContent-Length: 22\r\n\r\n"
    b'{"a": "GET / HTTP/1.1"}'
    b"GET /api/flows/0189f0c2-7d6c-7c33-9f2e-2b8f3c1d4e5f?x=1 HTTP/1.1\r\nHost: x\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 7, 64, len(REQUESTS)])
def test_request_is_counted_once_however_it_is_cut(size: int) -> None:
    traffic, head = Traffic(), b""
    for start in range(0, len(REQUESTS), size):
        head = traffic.note(head, REQUESTS[start : start + size])
    requests, sent = traffic.take()
    assert dict(requests) == {"POST /api/flows/": 1, "GET /api/flows/ID": 1}
    assert sent == len(REQUESTS)
    assert traffic.take()[1] == 0
