"""A web socket whose frames begin with the channel that they belong to.

As the API server speaks it for commands and ports of pods: the first byte of a binary frame is the
number of a channel (``channel.k8s.io``, k8s.io/apimachinery's ``remotecommand`` constants).
Loaded when the first one is opened: no command begins with it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import websocket

from ebbtide.infra.platforms.kubernetes.api_error import from_answer

PROTOCOLS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_CONNECT_S = 5.0
_SILENT_S = 30.0
"""For the server to answer, and to take or to end a frame that has begun."""
_FRAMES = (websocket.ABNF.OPCODE_BINARY, websocket.ABNF.OPCODE_TEXT)
_CLOSED = 255
"""A channel on which the fifth version says that another one has ended."""


class WebSocketChannels:
    """See ``credentials.base.Channels``."""

    def __init__(self, opened: websocket.WebSocket):
        """Take over an open web socket."""
        self._socket: Any = opened
        """Not all of it is typed."""

    @property
    def is_open(self) -> bool:
        """Whether more may come."""
        return bool(self._socket.connected)

    def fileno(self) -> int:
        """For whoever waits for several."""
        return int(self._socket.fileno())

    @property
    def has_more(self) -> bool:
        """Whether there is something to read that its file does not show: TLS has taken it."""
        sock = self._socket.sock
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def send(self, channel: int, data: bytes) -> None:
        """Send to a channel."""
        self._socket.send_binary(bytes((channel,)) + data)

    def receive(self, timeout_s: float) -> tuple[int, bytes]:
        """Wait for a frame.

        Args:
            timeout_s: in seconds, until one begins to come.

        Returns:
            The channel and what came; nothing of channel 0 when none has come in time, or when the
            server has closed the web socket.
        """
        if not self.is_open or not (self.has_more or self._readable(timeout_s)):
            return 0, b""
        code, frame = self._socket.recv_data_frame(True)
        if code == websocket.ABNF.OPCODE_CLOSE:
            self.close()
        elif code in _FRAMES and frame.data and frame.data[0] != _CLOSED:
            return frame.data[0], bytes(frame.data[1:])
        return 0, b""

    def close(self) -> None:
        """Say that it is over, wait for no answer, and end the connection."""
        with contextlib.suppress(Exception):  # the connection is lost: that is its end too
            self._socket.close(timeout=0)
        with contextlib.suppress(Exception):
            self._socket.shutdown()

    def _readable(self, timeout_s: float) -> bool:
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))


def connect(
    url: str, tls: ssl.SSLContext, headers: Mapping[str, str], asked: str
) -> WebSocketChannels:
    """Open a web socket.

    Args:
        url: with ``https``.
        tls: which server is trusted, and what is shown to it.
        headers: that say who asks.
        asked: what is asked for, for errors.

    Returns:
        The web socket.

    Raises:
        ApiError: the server has refused. Errors of the connection are those of their libraries.
    """
    there = urlsplit(url)
    address = (str(there.hostname), there.port or 443)
    plain = socket.create_connection(address, timeout=_CONNECT_S)
    with contextlib.ExitStack() as unless_opened:
        unless_opened.callback(plain.close)
        # Not by the library: without more options it would trust everybody, or all that the system
        # trusts (tried, 1.9.2).
        secured = tls.wrap_socket(plain, server_hostname=address[0])
        unless_opened.callback(secured.close)
        secured.settimeout(_SILENT_S)
        opened: Any = websocket.WebSocket(enable_multithread=True, skip_utf8_validation=True)
        try:
            opened.connect(
                there._replace(scheme="wss").geturl(),
                socket=secured,
                header=[f"{name}: {value}" for name, value in headers.items()],
                subprotocols=list(PROTOCOLS),
            )
        except websocket.WebSocketBadStatusException as error:
            raise refused(error, asked) from error
        unless_opened.pop_all()
    return WebSocketChannels(opened)


def refused(error: websocket.WebSocketBadStatusException, asked: str) -> Exception:
    """Read why the server has not opened one."""
    told = {name.title(): value for name, value in (error.resp_headers or {}).items()}
    return from_answer(asked, error.status_code, error.resp_body or b"", told)
