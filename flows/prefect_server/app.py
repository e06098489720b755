"""Prefect's server as we run it: ``uvicorn --factory ebbtide.flows.prefect_server.app:create``."""

from __future__ import annotations

import os

from prefect.server.api.server import create_app

from ebbtide.flows.prefect_server.doorkeeper import HOSTS, Doorkeeper
from ebbtide.flows.prefect_server.sqlite import take_turns


def create() -> Doorkeeper:
    """The whole server with its services, behind the doorkeeper; its writers take turns."""
    take_turns()
    return Doorkeeper(create_app(final=True), os.environ[HOSTS].split(","))
