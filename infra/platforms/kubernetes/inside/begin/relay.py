"""Between whoever tells a program to begin and its wrapper: run by exec in ``files``.

What comes by exec goes into the wrapper's socket, and back, until one of them has gone.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys

from ebbtide.infra.platforms.kubernetes.inside.frames import LARGEST_BYTES, SILENCE_S, write_all


def main(path: str) -> None:
    """Pass on both ways.

    Raises:
        OSError: nobody listens there.
    """
    signal.alarm(SILENCE_S)
    with socket.socket(socket.AF_UNIX) as wrapper:
        wrapper.connect(path)
        while True:
            ready: list[int] = select.select([0, wrapper.fileno()], [], [])[0]
            if 0 in ready:
                data = os.read(0, LARGEST_BYTES)
                if not data:
                    return
                signal.alarm(SILENCE_S)
                wrapper.sendall(data)
            if wrapper.fileno() in ready:
                data = wrapper.recv(LARGEST_BYTES)
                if not data:
                    return
                write_all(1, data)


if __name__ == "__main__":
    main(sys.argv[1])
