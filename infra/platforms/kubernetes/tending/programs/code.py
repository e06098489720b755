"""Sends a program's code to the package store of its cluster, again until it has come."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ebbtide.infra.errors import EbbError
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.api_error import ApiError
from ebbtide.infra.platforms.kubernetes.clusters.packaging import package_of
from ebbtide.infra.platforms.kubernetes.shipping.sending import send


class CodeSender:
    """The code of one program."""

    def __init__(self, api: Api, folder: Path, warn: Callable[[str], None]):
        """Nothing is sent yet.

        Args:
            api: of its namespace.
            folder: the run's, or that of a program on a held cluster: it has the package.
            warn: takes a sentence, from any thread.
        """
        self._api, self._folder, self._warn = api, folder, warn
        self._thread: threading.Thread | None = None

    def send_to(self, pod: str, *, unpacked: bool = True) -> None:
        """Begin, unless it has been sent or is under way.

        Args:
            pod: whose container ``files`` runs.
            unpacked: whether it is also unpacked there.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._send, args=(pod, unpacked), daemon=True)
            self._thread.start()

    def _send(self, pod: str, unpacked: bool) -> None:
        package = package_of(self._folder)
        if package is None:
            return
        try:
            send(self._api.run, pod, package, unpacked=unpacked)
        except (ApiError, EbbError) as error:
            self._warn(f"the program's code could not be sent: {error}")
            self._thread = None  # tried again at the next look
