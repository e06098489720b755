"""What of the user's goes to a cluster's pods: code, program, environment, secrets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import PurePath

from ebbtide.infra.frameworks.base import ProcessSpec, load_framework
from ebbtide.infra.frameworks.plan import TaskModules
from ebbtide.infra.models.ids import ClusterId
from ebbtide.infra.models.job import ClaimedVolume, JobSpec, RunSpec, volume_of
from ebbtide.infra.platforms.kubernetes import layout
from ebbtide.infra.platforms.kubernetes.inside.told import (
    BesideSettings,
    CodeSettings,
    ProgramSettings,
    to_text,
)
from ebbtide.infra.platforms.kubernetes.kinds import Object
from ebbtide.infra.platforms.kubernetes.naming import head_name
from ebbtide.infra.processes.environment import (
    CLUSTER,
    RUN,
    USER_UMASK,
    instead_of_the_users,
    member_environment,
    our_environment,
)
from ebbtide.infra.version import VERSION

_USERS_KEY = "user-"
"""Before the name of a secret of the user's, among the keys of the cluster's Secret."""
_WRITABLE = {"HOME": str(layout.HOME), "TMPDIR": str(layout.TEMPORARY)}
"""Unless the user names others; all else of an image is read-only."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """One value of a Secret that is there already."""

    secret: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shipment:
    """All of it, for one run. Empty: the image has what is needed."""

    digest: str = ""
    """Of the package of code; empty: none is sent."""
    code_url: str = ""
    """Where each pod fetches the code itself (see ``models.job.code_source``); empty: nowhere."""
    job: JobSpec | None = None
    """The program as it runs in a pod (see ``shipping.program``); None for a session."""
    import_path: tuple[str, ...] = ()
    """Folders in a pod from which workers import the user's modules."""
    secret_values: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secrets whose values come from where the run was started; kept in the cluster's Secret."""
    secret_keys: Mapping[str, SecretKey] = field(default_factory=dict)
    """Secrets of the namespace, by the name of their variable."""

    told_to_begin: bool = False
    """Whether the program waits until it is told to: its pod is there before its time."""
    outputs: str = ""
    """Where ``EBB_OUTPUT_DIR`` goes (see ``models.job``); empty: whoever drives the run
    brings it to its machine."""
    held: bool = False
    """Whether the program is one of several on its cluster: members learn of its code from it, and
    its pod goes when all that it left has been collected."""

    @property
    def volume(self) -> ClaimedVolume | None:
        """The volume that ``EBB_OUTPUT_DIR`` lies on."""
        return volume_of(self.outputs)

    @property
    def outputs_url(self) -> str:
        """The URL that the program's wrapper brings it to; empty: none."""
        return "" if self.volume is not None else self.outputs

    @property
    def workdir(self) -> str:
        """Where program and workers run."""
        if self.job is not None:
            return self.job.workdir
        return str(layout.CODE) if self.digest else "/"


def secret_entries(shipment: Shipment) -> dict[str, str]:
    """Return what the cluster's Secret holds of the user's."""
    return {f"{_USERS_KEY}{name}": value for name, value in shipment.secret_values.items()}


def secret_variables(cluster: ClusterId, shipment: Shipment) -> list[Object]:
    """Return the variables of program and workers whose values are in Secrets."""
    own = {name: SecretKey(cluster, f"{_USERS_KEY}{name}") for name in shipment.secret_values}
    return [
        {
            "name": name,
            "valueFrom": {"secretKeyRef": {"name": where.secret, "key": where.key}},
        }
        for name, where in {**own, **shipment.secret_keys}.items()
    ]


def member_variables(
    spec: RunSpec,
    cluster: ClusterId,
    users: Mapping[str, str],
    ours: Mapping[str, str],
    not_for_tasks: Mapping[str, str],
) -> dict[str, str]:
    """Return the variables of a head or worker.

    Args:
        spec: of the run.
        cluster: its id.
        users: what ``--env`` adds, and below it defaults.
        ours: what makes it a member; the strongest.
        not_for_tasks: what only its own process has in the place of the user's.

    Returns:
        Values as a pod spells them.
    """
    environ = {**_WRITABLE, **_literal(member_environment({}, users))}
    environ = instead_of_the_users(environ, not_for_tasks)
    return {**environ, **_marks(spec, cluster), **ours}


def program_variables(
    spec: RunSpec, cluster: ClusterId, users: Mapping[str, str], ours: Mapping[str, str]
) -> dict[str, str]:
    """Return the variables of the program's wrapper, which passes the program what it is to have.

    Args:
        spec: of the run.
        cluster: its id.
        users: what ``--env`` adds.
        ours: what makes the program find its cluster.

    Returns:
        Values as a pod spells them.
    """
    environ = our_environment(users)
    environ.pop(USER_UMASK)  # of this process
    output = {"EBB_OUTPUT_DIR": str(layout.OUTPUT)}
    return {**_WRITABLE, **_literal(environ), **_marks(spec, cluster), **output, **ours}


def code_settings(spec: RunSpec, cluster: ClusterId, shipment: Shipment) -> CodeSettings:
    """Say where a pod gets the code from: the head's pod, or the driver's own without a head.

    Args:
        spec: of the run.
        cluster: its id.
        shipment: what is sent.

    Returns:
        What is told to the programs in the pod.
    """
    head = f"http://{head_name(cluster)}:{layout.PACKAGE_PORT}"
    like = load_framework(spec.cluster.framework) if spec.cluster.has_workers else None
    return CodeSettings(
        digest=shipment.digest,
        url=shipment.code_url,
        store=head if like is not None else f"http://127.0.0.1:{layout.PACKAGE_PORT}",
        framework=like.package if like is not None else "",
        python_parts=like.python_parts if like is not None else 0,
        head=head if like is not None else "",
        termination=str(layout.TERMINATION),
        ebb=VERSION,
        secrets=str(layout.SECRETS),
        folder=str(layout.CODE),
        workdir=shipment.workdir,
        wait_s=spec.limits.start_within_s,
    )


def task_modules(spec: RunSpec, cluster: ClusterId, shipment: Shipment) -> TaskModules | None:
    """Say how members that run already get code, each in a folder of its own.

    Args:
        spec: of the run.
        cluster: its id.
        shipment: what is sent to the store beside the head.

    Returns:
        For the process whose tasks need it; None without code.
    """
    if not shipment.digest:
        return None
    folder = layout.MODULES / shipment.digest
    code = replace(code_settings(spec, cluster, shipment), folder=str(folder), workdir=str(folder))
    inside = (PurePath(path) for path in shipment.import_path)
    folders = (
        str(folder / path.relative_to(layout.CODE) if path.is_relative_to(layout.CODE) else path)
        for path in inside
    )
    argv = layout.module("begin.modules", to_text(code))
    return TaskModules(name=shipment.digest, argv=argv, folders=tuple(folders))


def member_command(
    spec: RunSpec, cluster: ClusterId, shipment: Shipment, argv: Iterable[str]
) -> tuple[str, ...]:
    """Return the command line of a head or worker that has the user's code before it starts.

    Args:
        spec: of the run.
        cluster: its id.
        shipment: what is sent.
        argv: its own.

    Returns:
        The same without code.
    """
    if not shipment.digest and not shipment.code_url:
        return tuple(argv)
    settings = layout.literal(to_text(code_settings(spec, cluster, shipment)))
    return (*layout.module("member", settings), *argv)


def program_command(
    spec: RunSpec,
    cluster: ClusterId,
    shipment: Shipment,
    argv: Iterable[str],
    history: str = "",
    beside: ProcessSpec | None = None,
) -> tuple[str, ...]:
    """Return the command line of the program's wrapper.

    Args:
        spec: of the run.
        cluster: its id.
        shipment: what is sent.
        argv: of the program, as it was typed.
        history: what its framework calls so, see ``Framework.history``.
        beside: what its framework wants to run beside it.

    Returns:
        Words as a pod spells them.
    """
    with_cluster = spec.cluster.has_workers
    settings = ProgramSettings(
        run=spec.name,
        code=code_settings(spec, cluster, shipment),
        framework=spec.cluster.framework,
        bridge=spec.bridge,
        head_file=str(layout.paths().head_file) if with_cluster else "",
        min_workers=spec.cluster.policy.min_workers if with_cluster else 0,
        wait_s=spec.limits.start_within_s,
        log=str(layout.LOG),
        termination=str(layout.TERMINATION),
        ready_bind="0.0.0.0",
        ready_port=layout.READY_PORT,
        told_to_begin=shipment.told_to_begin,
        outputs=shipment.outputs_url,
        output=str(layout.OUTPUT),
        history=str(layout.ARTIFACTS / history) if history else "",
        beside=_beside(beside) if beside is not None else None,
    )
    return layout.module("program", layout.literal(to_text(settings)), *map(layout.literal, argv))


def _beside(what: ProcessSpec) -> BesideSettings:
    log = layout.ARTIFACTS / "driver" / "beside.log"
    return BesideSettings(
        argv=what.argv, env=what.env, not_for_tasks=what.not_for_tasks, log=str(log)
    )


def _marks(spec: RunSpec, cluster: ClusterId) -> dict[str, str]:
    return {RUN: spec.name, CLUSTER: cluster}


def _literal(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: layout.literal(value) for name, value in environ.items()}
