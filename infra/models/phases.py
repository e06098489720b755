"""Steps, phases and reasons, with the tables that give each reason its meaning.

A new reason is one line in ``Reason`` and one in ``REASONS``; a test proves the table total.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Step(StrEnum):
    """One of the seven tasks of a run, in order."""

    REQUEST_HARDWARE_TIER = "request_hardware_tier"
    WAIT_FOR_NODES = "wait_for_nodes"
    START_HEAD = "start_head"
    START_WORKERS = "start_workers"
    ATTACH_AUTOSCALER = "attach_autoscaler"
    RUN_USER_JOB = "run_user_job"
    TEAR_DOWN = "tear_down"


STEP_LABELS: dict[Step, str] = {
    Step.REQUEST_HARDWARE_TIER: "hardware tier",
    Step.WAIT_FOR_NODES: "nodes",
    Step.START_HEAD: "head",
    Step.START_WORKERS: "workers",
    Step.ATTACH_AUTOSCALER: "autoscaler",
    Step.RUN_USER_JOB: "job",
    Step.TEAR_DOWN: "release",
}


class Phase(StrEnum):
    """The state of a run."""

    QUEUED = "Queued"
    PROVISIONING = "Provisioning"
    STARTING = "Starting"
    RUNNING = "Running"
    RELEASING = "Releasing"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def ended(self) -> bool:
        """Whether no other phase can follow."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class ExitCode:
    """What ``ebb`` exits with when that is not the program's own code (numbers of sysexits.h)."""

    OK = 0
    MISCONFIGURATION = 64
    NO_CAPACITY = 69
    INFRASTRUCTURE = 70
    TEMPORARY = 75
    TIMEOUT = 124
    INTERRUPTED = 130
    READER_GONE = 141
    """128 + SIGPIPE, as of a program that a closed pipe ends."""


def exit_status(returncode: int) -> int:
    """What a shell says of a process: 128 and the signal's number when a signal has ended it.

    Args:
        returncode: as ``subprocess`` has it: the negative number of a signal.

    Returns:
        0 to 255.
    """
    return returncode if returncode >= 0 else 128 - returncode


class Reason(StrEnum):
    """Why a run waits or ended. The part before the colon is the family."""

    OPTION_INVALID = "MISCONFIGURATION:OPTION_INVALID"
    CATALOG_INVALID = "MISCONFIGURATION:CATALOG_INVALID"
    TIER_UNKNOWN = "MISCONFIGURATION:TIER_UNKNOWN"
    TIER_EXCEEDS_POOL = "MISCONFIGURATION:TIER_EXCEEDS_POOL"
    FRAMEWORK_UNKNOWN = "MISCONFIGURATION:FRAMEWORK_UNKNOWN"
    FRAMEWORK_MISSING = "MISCONFIGURATION:FRAMEWORK_MISSING"
    PROGRAM_INVALID = "MISCONFIGURATION:PROGRAM_INVALID"
    SECRET_MISSING = "MISCONFIGURATION:SECRET_MISSING"
    NO_PERMISSION = "MISCONFIGURATION:NO_PERMISSION"
    NO_RIGHTS = "MISCONFIGURATION:NO_RIGHTS"
    PLATFORM_UNUSABLE = "MISCONFIGURATION:PLATFORM_UNUSABLE"
    POOL_UNKNOWN = "MISCONFIGURATION:POOL_UNKNOWN"
    POD_REFUSED = "MISCONFIGURATION:POD_REFUSED"
    IMAGE_UNUSABLE = "MISCONFIGURATION:IMAGE_UNUSABLE"
    VERSIONS_DIFFER = "MISCONFIGURATION:VERSIONS_DIFFER"
    LEDGER_NEWER = "MISCONFIGURATION:LEDGER_NEWER"
    RUN_UNKNOWN = "MISCONFIGURATION:RUN_UNKNOWN"
    PREFECT_REFUSES = "MISCONFIGURATION:PREFECT_REFUSES"
    NO_DASHBOARD = "MISCONFIGURATION:NO_DASHBOARD"
    PREFECT_UNREACHABLE = "INFRA:PREFECT_UNREACHABLE"
    POOL_AT_MAX = "CAPACITY:POOL_AT_MAX"
    RUNS_AT_MAX = "CAPACITY:RUNS_AT_MAX"
    QUEUE_FULL = "CAPACITY:QUEUE_FULL"
    NOT_IN_TIME = "CAPACITY:NOT_IN_TIME"
    QUOTA = "CAPACITY:QUOTA"
    NO_NODE = "CAPACITY:NO_NODE"
    OUT_OF_STOCK = "CAPACITY:OUT_OF_STOCK"
    RECLAIMED = "CAPACITY:RECLAIMED"
    LAUNCH_FAILED = "INFRA:LAUNCH_FAILED"
    HEAD_NOT_READY = "INFRA:HEAD_NOT_READY"
    HEAD_LOST = "INFRA:HEAD_LOST"
    WORKERS_NOT_JOINED = "INFRA:WORKERS_NOT_JOINED"
    SUPERVISOR_LOST = "INFRA:SUPERVISOR_LOST"
    LEASE_LAPSED = "INFRA:LEASE_LAPSED"
    FLOW_LOST = "INFRA:FLOW_LOST"
    STARTER_LOST = "INFRA:STARTER_LOST"
    LEDGER_UNWRITABLE = "INFRA:LEDGER_UNWRITABLE"
    DISK_FULL = "INFRA:DISK_FULL"
    API_UNREACHABLE = "INFRA:API_UNREACHABLE"
    NAMESPACE_GONE = "INFRA:NAMESPACE_GONE"
    CLUSTER_DELETED = "INFRA:CLUSTER_DELETED"
    NODE_LOST = "INFRA:NODE_LOST"
    EVICTED = "INFRA:EVICTED"
    POD_LOST = "INFRA:POD_LOST"
    REGISTRY_SILENT = "INFRA:REGISTRY_SILENT"
    EXIT_CODE = "JOB:EXIT_CODE"
    NOT_STARTED = "JOB:NOT_STARTED"
    OUT_OF_MEMORY = "JOB:OUT_OF_MEMORY"
    TIME_LIMIT = "JOB:TIME_LIMIT"
    IDLE = "JOB:IDLE"
    CANNOT_RUN = "JOB:CANNOT_RUN"
    OUTPUT_INVALID = "JOB:OUTPUT_INVALID"
    OUTPUTS_NOT_STORED = "JOB:OUTPUTS_NOT_STORED"
    OUTPUT_LIMIT = "JOB:OUTPUT_LIMIT"
    TOO_MANY_PROCESSES = "JOB:TOO_MANY_PROCESSES"
    READER_GONE = "JOB:READER_GONE"
    CANCELLED = "JOB:CANCELLED"
    RELEASE_INCOMPLETE = "RELEASE:INCOMPLETE"

    @property
    def family(self) -> str:
        """``misconfiguration``, ``capacity``, ``infra``, ``job`` or ``release``."""
        return self.value.split(":")[0].lower()

    @property
    def info(self) -> ReasonInfo:
        """The reason's row of the table ``REASONS``."""
        return REASONS[self]


@dataclass(frozen=True, slots=True)
class ReasonInfo:
    """What a reason means for the run, its retry, the reader and the shell."""

    phase: Phase
    sentence: str
    exit_code: int
    retry_delay_s: float | None = None
    """Wait this long before a fresh attempt; None: a fresh attempt would not help."""


def _fixable(sentence: str) -> ReasonInfo:
    return ReasonInfo(Phase.FAILED, sentence, ExitCode.MISCONFIGURATION)


def _infra(sentence: str, exit_code: int = ExitCode.INFRASTRUCTURE) -> ReasonInfo:
    return ReasonInfo(Phase.FAILED, sentence, exit_code, retry_delay_s=1.0)


REASONS: dict[Reason, ReasonInfo] = {
    Reason.OPTION_INVALID: _fixable("an option is not valid"),
    Reason.CATALOG_INVALID: _fixable("ebb.yaml is not valid"),
    Reason.TIER_UNKNOWN: _fixable("no hardware tier has this name"),
    Reason.TIER_EXCEEDS_POOL: _fixable("the pool can never hold what was asked for"),
    Reason.FRAMEWORK_UNKNOWN: _fixable("no framework has this name"),
    Reason.FRAMEWORK_MISSING: _fixable("the framework is not installed"),
    Reason.PROGRAM_INVALID: _fixable("the program cannot be run"),
    Reason.SECRET_MISSING: _fixable("a secret is not set in this shell"),
    Reason.NO_PERMISSION: _fixable("a folder cannot be written"),
    Reason.NO_RIGHTS: _fixable("the Kubernetes credentials do not allow it"),
    Reason.PLATFORM_UNUSABLE: _fixable("the platform cannot run anything now"),
    Reason.POOL_UNKNOWN: _fixable("no node or node group is of the pool as ebb.yaml has it"),
    Reason.POD_REFUSED: _fixable("the namespace does not allow the cluster's pods"),
    Reason.IMAGE_UNUSABLE: _fixable("the image cannot be pulled or started"),
    Reason.VERSIONS_DIFFER: _fixable(
        "not all parts of the cluster have the same Python, framework and Ebb"
    ),
    Reason.LEDGER_NEWER: _fixable("the ledger was written by a newer ebb"),
    Reason.RUN_UNKNOWN: _fixable("no run has this name"),
    Reason.PREFECT_REFUSES: _fixable("the Prefect server refused access"),
    Reason.NO_DASHBOARD: _fixable("the run has no dashboard now"),
    Reason.PREFECT_UNREACHABLE: _infra("the Prefect server did not answer", ExitCode.TEMPORARY),
    Reason.POOL_AT_MAX: ReasonInfo(
        Phase.QUEUED, "the pool has no room left", ExitCode.NO_CAPACITY, 5.0
    ),
    Reason.RUNS_AT_MAX: ReasonInfo(
        Phase.QUEUED, "the limit of simultaneous runs is reached", ExitCode.NO_CAPACITY, 5.0
    ),
    Reason.QUEUE_FULL: ReasonInfo(
        Phase.FAILED, "too many runs are already waiting for this pool", ExitCode.NO_CAPACITY
    ),
    Reason.NOT_IN_TIME: ReasonInfo(
        Phase.FAILED, "it did not start within the allowed time", ExitCode.NO_CAPACITY
    ),
    Reason.QUOTA: ReasonInfo(
        Phase.QUEUED, "the namespace's quota is used up", ExitCode.NO_CAPACITY, 5.0
    ),
    Reason.NO_NODE: ReasonInfo(
        Phase.QUEUED, "no node has room, and none is on its way", ExitCode.NO_CAPACITY, 5.0
    ),
    Reason.OUT_OF_STOCK: ReasonInfo(
        Phase.QUEUED, "the cloud gives no more nodes of this kind now", ExitCode.NO_CAPACITY, 30.0
    ),
    Reason.RECLAIMED: ReasonInfo(
        Phase.FAILED, "a spot node was taken away with what ran on it", ExitCode.NO_CAPACITY, 1.0
    ),
    Reason.LAUNCH_FAILED: _infra("the run could not be started"),
    Reason.HEAD_NOT_READY: _infra("the head did not answer"),
    Reason.HEAD_LOST: _infra("the head died"),
    Reason.WORKERS_NOT_JOINED: _infra("workers did not register with the head"),
    Reason.SUPERVISOR_LOST: _infra("the process that owns the cluster died"),
    Reason.LEASE_LAPSED: _infra("nobody renewed the cluster's lease"),
    Reason.FLOW_LOST: _infra("the flow process died"),
    Reason.STARTER_LOST: _infra("the process that had started it and followed it died"),
    Reason.LEDGER_UNWRITABLE: _infra("the ledger could not be written", ExitCode.TEMPORARY),
    # No fresh cluster: the disk is that of the machine it is made from.
    Reason.DISK_FULL: ReasonInfo(
        Phase.FAILED, "a disk of this machine is full", ExitCode.TEMPORARY
    ),
    Reason.API_UNREACHABLE: _infra("the Kubernetes API server did not answer", ExitCode.TEMPORARY),
    Reason.NAMESPACE_GONE: ReasonInfo(
        Phase.FAILED, "the namespace was deleted", ExitCode.INFRASTRUCTURE
    ),
    Reason.CLUSTER_DELETED: _infra("somebody deleted the cluster"),
    Reason.NODE_LOST: _infra("a node was lost with what ran on it"),
    Reason.EVICTED: _infra("a pod was evicted from its node"),
    Reason.POD_LOST: _infra("a pod was deleted by somebody else, or refused by its node"),
    # No fresh cluster: it would ask the same registry, which its node has asked several times.
    Reason.REGISTRY_SILENT: ReasonInfo(
        Phase.FAILED, "the image registry did not give the image", ExitCode.INFRASTRUCTURE
    ),
    Reason.EXIT_CODE: ReasonInfo(Phase.FAILED, "the program failed", 1, 1.0),
    Reason.NOT_STARTED: _fixable("the program could not be started"),
    Reason.OUT_OF_MEMORY: ReasonInfo(Phase.FAILED, "a process ran out of memory", 1, 1.0),
    Reason.TIME_LIMIT: ReasonInfo(
        Phase.FAILED, "the program reached its time limit", ExitCode.TIMEOUT
    ),
    Reason.IDLE: ReasonInfo(Phase.FAILED, "the cluster had no work for too long", ExitCode.TIMEOUT),
    Reason.CANNOT_RUN: ReasonInfo(
        Phase.FAILED, "it waited for what no worker of this run can ever take", ExitCode.TIMEOUT
    ),
    Reason.OUTPUT_INVALID: ReasonInfo(Phase.FAILED, "the output is not what was expected", 1),
    Reason.OUTPUTS_NOT_STORED: ReasonInfo(
        Phase.FAILED, "what it wrote could not be stored where it was to go", 1
    ),
    Reason.OUTPUT_LIMIT: ReasonInfo(Phase.FAILED, "it printed more than may be kept", 1),
    Reason.TOO_MANY_PROCESSES: ReasonInfo(Phase.FAILED, "it had more processes than allowed", 1),
    Reason.READER_GONE: ReasonInfo(
        Phase.CANCELLED, "what read its output has closed the pipe", ExitCode.READER_GONE
    ),
    Reason.CANCELLED: ReasonInfo(Phase.CANCELLED, "it was stopped", ExitCode.INTERRUPTED),
    Reason.RELEASE_INCOMPLETE: ReasonInfo(
        Phase.RELEASING, "something could not be released and is still held", ExitCode.TEMPORARY
    ),
}
