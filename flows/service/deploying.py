"""Deploying a deployments.yaml with Prefect's own command; operators' changes are kept.

The first time a deployment is made as the file says. Later a copy of the file is deployed, into
which ``flows.service.definitions`` has merged what Prefect has; schedules are left out of it, so
that there is no moment in which a paused one is active. What the file said, and what Prefect had
right after, is remembered in ``EBB_HOME/stack/deployed.json``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import construct_schedule
from prefect.exceptions import PrefectHTTPStatusError
from pydantic import TypeAdapter

from ebbtide.flows.service.definitions import (
    Known,
    Schedule,
    Standing,
    changes,
    key_of,
    merged,
    unscheduled,
)
from ebbtide.infra.files.private import write_whole
from ebbtide.infra.settings import Settings

_TIMEOUT_S = 150
_PAGE = 200


def deploy_file(
    settings: Settings, file: Path, folder: Path, pool: str, *, ours: bool = False
) -> list[str]:
    """Deploy all deployments of one file, and keep what operators have changed in Prefect.

    Args:
        settings: of this installation.
        file: a deployments.yaml.
        folder: the folder in which Prefect's command runs.
        pool: the work pool of deployments that name none.
        ours: whether it is this package's own file, of which ``ebb up`` does some by itself.

    Returns:
        The names of the deployments.

    Raises:
        SystemExit: Prefect's command failed; the message is what it printed.
    """
    whole = _read(file)
    if whole is None:  # Prefect says what is wrong with it
        return _command(file, file, folder, pool)
    said = [one for one in whole.get("deployments") or [] if isinstance(one, dict)]
    said = [unscheduled(one) for one in said] if ours else said
    known = _load(settings)
    keys = [f"{file}#{one.get('name')}" for one in said]
    with get_client(sync_client=True) as client:
        there = _deployments(client)
        found = [_one_of(there, one) for one in said]
        copies = []
        for key, one, deployment in zip(keys, said, found, strict=True):
            stands = _standing(client, deployment) if deployment else None
            copies.append(merged(one, known.get(key), stands) if stands else one)
        with _draft(settings, {**whole, "deployments": copies}) as draft:
            names = _command(draft, file, folder, pool)
        for key, one, deployment in zip(keys, said, found, strict=True):
            if deployment:
                _reschedule(client, deployment, one, known.get(key))
        there = _deployments(client)
        for key, one in zip(keys, said, strict=True):
            deployment = _one_of(there, one)
            if deployment:
                known[key] = Known(one, _fields(deployment))
    _save(settings, known)
    return names


# The file --------------------------------------------------------------------------------------


def _read(file: Path) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
        found = json.loads(json.dumps(yaml.safe_load(file.read_text()), default=str))
        return found if isinstance(found, dict) else None
    return None


@contextlib.contextmanager
def _draft(settings: Settings, content: dict[str, Any]) -> Iterator[Path]:
    """Yield the path of a temporary copy with this content (JSON is YAML)."""
    with tempfile.TemporaryDirectory(prefix="deploy-", dir=settings.home / "stack") as folder:
        path = Path(folder) / "deployments.yaml"
        path.write_text(json.dumps(content))
        yield path


def _command(file: Path, named: Path, folder: Path, pool: str) -> list[str]:
    arguments = ["--no-prompt", "deploy", "--prefect-file", str(file), "--all"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "prefect", *arguments],
        cwd=folder,
        env={**os.environ, "PREFECT_DEPLOYMENTS_DEFAULT_WORK_POOL_NAME": pool},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    print(done.stdout + done.stderr, file=sys.stderr)
    if done.returncode != 0:
        raise SystemExit(f"{named} could not be deployed: {(done.stderr or done.stdout)[-800:]}")
    return re.findall(r"Deployment '[^'/]+/([^']+)' successfully", done.stdout)


# What Prefect has ------------------------------------------------------------------------------


def _deployments(client: SyncPrefectClient) -> list[DeploymentResponse]:
    found: list[DeploymentResponse] = []
    while True:
        page = client.read_deployments(limit=_PAGE, offset=len(found))
        found += page
        if len(page) < _PAGE:
            return found


def _one_of(there: list[DeploymentResponse], said: dict[str, Any]) -> DeploymentResponse | None:
    """Return the deployment that the file's definition makes or changes; None: there is none."""
    named = [one for one in there if one.name == said.get("name")]
    same = [one for one in named if one.entrypoint == said.get("entrypoint")] or named
    return same[0] if len(same) == 1 else None


def _standing(client: SyncPrefectClient, deployment: DeploymentResponse) -> Standing:
    enabled = {}
    with contextlib.suppress(PrefectHTTPStatusError):  # a server without automations
        automations = client.read_resource_related_automations(
            f"prefect.deployment.{deployment.id}"
        )
        enabled = {automation.name: automation.enabled for automation in automations}
    return Standing(
        fields=_fields(deployment),
        paused=bool(deployment.paused),
        schedules=tuple(_schedule(one) for one in deployment.schedules),
        enabled=enabled,
    )


def _fields(deployment: DeploymentResponse) -> dict[str, Any]:
    """Return a deployment's fields with the keys that deployments.yaml has for them."""
    limit, options = deployment.global_concurrency_limit, deployment.concurrency_options
    concurrency = None
    if limit is not None:
        more = options.model_dump(mode="json", exclude_none=True) if options else {}
        concurrency = {"limit": limit.limit, **more}
    found = {
        "description": deployment.description,
        "tags": deployment.tags,
        "parameters": deployment.parameters,
        "work_pool": {
            "name": deployment.work_pool_name,
            "work_queue_name": deployment.work_queue_name,
            "job_variables": deployment.job_variables,
        },
        "concurrency_limit": concurrency,
        "enforce_parameter_schema": deployment.enforce_parameter_schema,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found, default=str))
    return plain


def _schedule(found: DeploymentSchedule) -> Schedule:
    fields = found.schedule.model_dump(include={"cron", "interval", "rrule"})
    interval = fields.get("interval")
    if isinstance(interval, timedelta):
        fields["interval"] = interval.total_seconds()
    return Schedule(str(found.id), key_of({**fields, "slug": found.slug}), found.active)


def _reschedule(
    client: SyncPrefectClient,
    deployment: DeploymentResponse,
    said: dict[str, Any],
    known: Known | None,
) -> None:
    """Carry out what the file says anew; a paused schedule stays paused."""
    found = changes(said, known, [_schedule(one) for one in deployment.schedules])
    ids = {str(one.id): one.id for one in deployment.schedules}
    for id_ in found.delete:
        client.delete_deployment_schedule(deployment.id, ids[id_])
    for id_, one in found.patch:
        client.update_deployment_schedule(
            deployment.id,
            ids[id_],
            schedule=_built(one),
            parameters=one.get("parameters"),
            active=False if one.get("active") is False else None,
        )
    fresh = [
        DeploymentScheduleCreate(
            schedule=_built(one),
            active=active,
            slug=one.get("slug"),
            parameters=one.get("parameters") or {},
        )
        for one, active in found.create
    ]
    if fresh:
        client.create_deployment_schedules(deployment.id, fresh)


def _built(said: dict[str, Any]) -> Any:
    fields = {
        key: said[key] for key in ("interval", "anchor_date", "cron", "rrule", "timezone")
        if said.get(key) is not None
    }  # fmt: skip
    if "interval" in fields:
        fields["interval"] = TypeAdapter(timedelta).validate_python(fields["interval"])
    schedule = construct_schedule(**fields)
    if said.get("day_or") is not None:
        schedule = schedule.model_copy(update={"day_or": said["day_or"]})
    return schedule


# What is remembered ----------------------------------------------------------------------------


def _load(settings: Settings) -> dict[str, Known]:
    try:
        found = json.loads(_file(settings).read_text())
        return {key: Known(one["said"], one["stood"]) for key, one in found.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _save(settings: Settings, known: dict[str, Known]) -> None:
    data = {key: {"said": one.said, "stood": one.stood} for key, one in known.items()}
    write_whole(_file(settings), json.dumps(data))


def _file(settings: Settings) -> Path:
    return settings.home / "stack" / "deployed.json"
