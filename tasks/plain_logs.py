"""What Prefect's logs say of an error of ours: what happened, why, what to do. No traceback."""

from __future__ import annotations

import logging

from ebbtide.infra.errors import ConfigurationError, EbbError
from ebbtide.infra.escaping import visible

_LOGGERS = ("prefect.flow_runs", "prefect.task_runs")


def message_of(error: EbbError) -> str:
    """Return all that an error says, in lines."""
    if isinstance(error, ConfigurationError):
        lines = [f"{each.reason}: {_with(each.summary, each.hint)}" for each in error.problems]
        return "\n".join(lines)
    return _with(str(error), error.hint)


def _with(summary: str, hint: str) -> str:
    return visible(f"{summary}; {hint}" if hint else summary)


class _NoTraceback(logging.Filter):
    """Replaces the traceback that Prefect would log for an error of ours by its message."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if isinstance(error, EbbError):
            record.exc_info, record.exc_text = None, None
            record.msg, record.args = message_of(error), ()
        return True


_FILTER = _NoTraceback()


def without_tracebacks() -> None:
    """Log errors of ours without their traceback from now on, in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)  # the same one twice is one
