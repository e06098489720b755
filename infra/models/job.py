"""The user's program, the limits it runs under, and one run of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ebbtide.infra.models.cluster import ClusterSpec
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Reason

RUN_NAME = "{run}"
"""In what a user writes for ``--outputs``: the run's name."""
_VOLUME = "volume://"
_GIT = "git+"
CODE_LIMIT_BYTES = 100 * 2**20
"""Of all files of a program's folder together, before they are compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """The user's program, to be run as a process of its own; it is never imported into ours."""

    argv: tuple[str, ...]
    """The command line; a program ``train.py`` has become ``python train.py`` here."""
    workdir: str
    """Absolute. The program runs in place, so that what it reads and writes is where it expects."""
    env: dict[str, str] = field(default_factory=dict)
    """Added to the environment of the program and the workers."""
    secrets: tuple[str, ...] = ()
    """Names only. The values stay in the environment of the process that started the run."""
    secret_keys: dict[str, str] = field(default_factory=dict)
    """Of variables whose value is in a Secret of the namespace: ``secret/key``."""
    code: str = ""
    """Where its code comes from (see ``code_source``); empty: from its workdir."""
    code_limit_bytes: int = CODE_LIMIT_BYTES
    """How much of that may be sent to pods."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a run may take, in seconds, and how much it may leave; None means no limit."""

    start_within_s: float = 900.0
    """From request to the program's start."""
    time_limit_s: float | None = None
    """The program itself."""
    idle_release_s: float | None = 600.0
    """The cluster ran no task and the program used no CPU for this long. Tasks that only wait are
    no work: what cannot start may wait for ever. But while they wait for workers that are on their
    way it does not count, for as long as the run had to start; nor while its head is silent."""
    idle_action: str = "release"
    """``release`` ends the run with JOB:IDLE; ``warn`` only says so."""
    no_progress_s: float | None = 600.0
    """Tasks ran, none ended and nobody used CPU for this long: it is said, once."""
    max_output_bytes: int | None = 2**30
    """Of all that program, head and workers print, so much is kept."""
    max_processes: int | None = 1000
    """Of program, head and workers together; one more ends the run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Which failures lead to a fresh cluster, and how often."""

    reasons: tuple[str, ...] = ("capacity", "infra")
    """Of ``capacity``, ``infra``, ``job``."""
    attempts: int = 3
    """So often the program is tried, counted by its own failures alone."""
    replacements: int = 2
    """At most this many fresh clusters after failures of infrastructure or for want of capacity;
    they use up no attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PassedOver:
    """A tier of a run's list that it did not get, and why."""

    tier: str
    reason: Reason
    why: str
    """In one sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandTimes:
    """When the command that asks for a run got how far; Unix time, seconds."""

    started_at: float
    """When its process began."""
    imported_at: float
    """When it had imported what it is made of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """All that one run asks for. ``job`` is None where a Python session drives the cluster."""

    name: RunName
    platform: str
    cluster: ClusterSpec
    job: JobSpec | None
    next_tiers: tuple[ClusterSpec, ...] = ()
    """What it takes instead, in this order, when ``cluster`` is not to be had."""
    passed_over: tuple[PassedOver, ...] = ()
    """What it would have taken before ``cluster``."""
    limits: Limits = Limits()
    retry: RetryPolicy = RetryPolicy()
    lease_s: float = 30.0
    """How long the cluster outlives the last renewal of its lease."""
    tags: tuple[str, ...] = ()
    """Words to find it by and to sum its cost by."""
    owner: str = ""
    """Who asked for it; limits of simultaneous runs count by it."""
    workdir: str = ""
    """Absolute; where a Python session works, and so do its workers. A program has its own."""
    import_path: tuple[str, ...] = ()
    """Absolute folders where a Python session finds its modules, and so do its workers."""
    bridge: bool = False
    """Whether clusters that a program makes for itself are led to the run's cluster."""
    env: dict[str, str] = field(default_factory=dict)
    """Added to the environment of a session's workers; a program has its own."""
    outputs: str = ""
    """Where ``EBB_OUTPUT_DIR`` goes (see ``destination_of_run``); empty: where it was begun."""
    command: CommandTimes | None = None
    """Of the command that asked for it; None: a flow or a Python session did."""

    @property
    def tiers_in_turn(self) -> tuple[RunSpec, ...]:
        """The same run on each tier that it may still take, the present one first."""
        others = (replace(self, cluster=each, next_tiers=()) for each in self.next_tiers)
        return self, *others

    @property
    def added_env(self) -> dict[str, str]:
        """What the user adds to the environment of workers, and of the program if there is one."""
        return self.job.env if self.job else self.env


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimedVolume:
    """A folder of a volume, by the name of the claim that has it (PersistentVolumeClaim)."""

    claim: str
    folder: str
    """Relative, without ``..``."""


def destination_of_run(written: str, run: str) -> str:
    """Make what a user wrote the destination of one run: no two share a folder.

    Args:
        written: a URL, with ``{run}`` where the run's name belongs, or the folder above it.
        run: the run's name.

    Returns:
        The URL of the run's own folder; empty when nothing was written.
    """
    if RUN_NAME in written or not written:
        return written.replace(RUN_NAME, run)
    return f"{written.rstrip('/')}/{run}"


def volume_of(destination: str) -> ClaimedVolume | None:
    """Return the volume that a destination names; None when it is a URL of something else."""
    if not destination.startswith(_VOLUME):
        return None
    claim, _, folder = destination.removeprefix(_VOLUME).partition("/")
    return ClaimedVolume(claim=claim, folder=folder.strip("/"))


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeSource:
    """Where a program's code comes from, when not from a folder here."""

    url: str
    """Of a Git repository or of an archive, without what is said below."""
    is_git: bool
    revision: str = ""
    """Of a repository; empty: its head."""
    sha256: str = ""
    """Of an archive, in hex; empty: it is taken as it comes."""
    subdirectory: str = ""
    """The part of it that is the code; empty: all."""


def code_source(written: str) -> CodeSource | None:
    """Read what a user wrote, in pip's spelling.

    Args:
        written: ``git+URL@REVISION`` or the URL of an archive, with ``#subdirectory=…`` and of an
            archive ``#sha256=…``, several with ``&`` between.

    Returns:
        The source; None when nothing was written.
    """
    if not written:
        return None
    url, _, fragment = written.partition("#")
    more = dict(part.partition("=")[::2] for part in fragment.split("&") if part)
    subdirectory, revision = more.get("subdirectory", "").strip("/"), ""
    if not url.startswith(_GIT):
        return CodeSource(
            url=url, is_git=False, sha256=more.get("sha256", ""), subdirectory=subdirectory
        )
    scheme, _, rest = url.removeprefix(_GIT).partition("://")
    host, slash, path = rest.partition("/")
    if "@" in path:
        path, _, revision = path.rpartition("@")
    plain = f"{scheme}://{host}{slash}{path}"
    return CodeSource(url=plain, is_git=True, revision=revision, subdirectory=subdirectory)
