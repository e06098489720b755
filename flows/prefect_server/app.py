"""Prefect's server as we run it: ``uvicorn --factory flows.prefect_server.app:create``."""

from __future__ import annotations

import os

from prefect.server.api.server import create_app

from flows.prefect_server.doorkeeper import HOSTS, Doorkeeper


def create() -> Doorkeeper:
    """The whole server with its services, behind the doorkeeper."""
    return Doorkeeper(create_app(final=True), os.environ[HOSTS].split(","))
