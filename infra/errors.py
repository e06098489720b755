"""The one error tree. Every error says what happened, why, and what to do.

EbbError(reason, summary, detail, hint)
├── ConfigurationError   MISCONFIGURATION:*  never retried; may carry many problems at once
├── CapacityError        CAPACITY:*          wait, then a fresh attempt
├── ProvisioningError    INFRA:*             a fresh attempt
├── JobError             JOB:*               the user's policy; carries the program's exit code
└── ReleaseError         RELEASE:*           until done; never replaces the job's own error
"""

from __future__ import annotations

from dataclasses import dataclass

from ebbtide.infra.models.phases import Reason, exit_status


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong with what the user asked for, and what to write instead."""

    reason: Reason
    summary: str
    hint: str = ""


class EbbError(Exception):
    """The base of all errors of Ebb. Each is something that a user can act on."""

    family = ""

    def __init__(self, reason: Reason, summary: str = "", *, detail: str = "", hint: str = ""):
        if reason.family != self.family:
            raise TypeError(f"{type(self).__name__} cannot carry {reason}")
        self.reason = reason
        self.summary = summary or reason.info.sentence
        self.detail = detail
        self.hint = hint
        self.in_vain = False
        """Whether trying the same again is known not to help."""
        self.run = ""
        """The run that had begun; empty when none had."""
        self.released = False
        """Whether that run has ended with this error, and all that it held is given back."""
        super().__init__(f"{reason}: {self.summary}" + (f" ({detail})" if detail else ""))

    @property
    def message(self) -> str:
        """What happened and what is known of it, without the reason's code."""
        return f"{self.summary}: {self.detail}" if self.detail else self.summary

    @property
    def retryable(self) -> bool:
        """Whether a fresh attempt may help."""
        return self.reason.info.retry_delay_s is not None and not self.in_vain

    @property
    def exit_code(self) -> int:
        """The exit code of the ``ebb`` command that ends with this error."""
        return self.reason.info.exit_code


class ConfigurationError(EbbError):
    """The request is wrong. Holds all problems at once; nothing has been made yet."""

    family = "misconfiguration"

    def __init__(self, problems: list[Problem]):
        self.problems = tuple(problems)
        first = problems[0]
        super().__init__(first.reason, first.summary, hint=first.hint)
        if len(problems) > 1:
            self.args = ("; ".join(problem.summary for problem in problems),)


class CapacityError(EbbError):
    """There was no room for the run within its time."""

    family = "capacity"


class ProvisioningError(EbbError):
    """The cluster could not be made, or was lost; a fresh attempt may succeed."""

    family = "infra"


class JobError(EbbError):
    """The user's program failed, or was ended by a limit or by somebody."""

    family = "job"

    def __init__(
        self,
        reason: Reason,
        summary: str = "",
        *,
        detail: str = "",
        hint: str = "",
        program_exit_code: int | None = None,
    ):
        super().__init__(reason, summary, detail=detail, hint=hint)
        self.program_exit_code = program_exit_code

    @property
    def exit_code(self) -> int:
        """The exit code of the program when it ended by itself, as a shell returns it."""
        code = self.program_exit_code
        if self.reason not in (Reason.EXIT_CODE, Reason.OUT_OF_MEMORY) or not code:
            return self.reason.info.exit_code
        return exit_status(code)


class ReleaseError(EbbError):
    """Something is still held after the release."""

    family = "release"


FAMILIES: dict[str, type[EbbError]] = {
    cls.family: cls for cls in (CapacityError, ProvisioningError, JobError, ReleaseError)
}


def error_for(reason: Reason, *, detail: str = "", hint: str = "") -> EbbError:
    """Make an error of the class that carries this reason.

    Args:
        reason: why; its family decides the class.
        detail: what was seen; for a ConfigurationError the summary of its only problem.
        hint: what to do about it.

    Returns:
        The error; it is not raised here.
    """
    if reason.family == ConfigurationError.family:
        return ConfigurationError([Problem(reason, detail or reason.info.sentence, hint)])
    return FAMILIES[reason.family](reason, detail=detail, hint=hint)
