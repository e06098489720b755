"""How a run ended, as flows and sessions are told, and its output as a typed value."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from ebbtide.infra.errors import JobError
from ebbtide.infra.escaping import html_facts
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import ExitCode, Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.platforms.base import load_platform
from ebbtide.infra.records.opening import open_store
from ebbtide.infra.settings import Settings

T = TypeVar("T")

_SHOWN_PROBLEMS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """How a run ended."""

    run: str
    """Its name; ``RUN/PROGRAM`` for a program on a cluster that a flow holds."""
    phase: Phase
    reason: Reason | None
    """None when it succeeded."""
    detail: str
    exit_code: int
    """What ``ebb run`` would have exited with."""
    output_dir: Path
    """The program's ``EBB_OUTPUT_DIR``; kept."""
    outputs: str = ""
    """The URL or volume where that went instead; empty: it is here."""
    remembered: Path | None = field(default=None, repr=False)
    """Where it is written down that the work is done; None: in the ledger."""
    home: Path | None = field(default=None, repr=False)
    """Of the installation whose ledger that is."""

    @property
    def succeeded(self) -> bool:
        """Whether the program ended well."""
        return self.phase is Phase.SUCCEEDED

    def output(self, name: str, kind: type[T]) -> T:
        """What the program wrote into a JSON file of its output folder, checked.

        Args:
            name: of the file, below ``EBB_OUTPUT_DIR``.
            kind: a pydantic model, a dataclass, or any type such as ``dict[str, float]``.

        Raises:
            JobError: OUTPUT_INVALID, when the file is missing or holds something else. The work
                then counts as not done: a retry of the flow does it again.
        """
        path = self.output_dir / name
        try:
            return TypeAdapter(kind).validate_json(path.read_bytes())
        except OSError as error:
            detail = f"{self.run} wrote no {name}: {error.strerror}"
            hint = f"write it into $EBB_OUTPUT_DIR; there is: {self._written()}"
            if self.outputs:
                hint = f"what it wrote is at {self.outputs}: read it there, or take --outputs here"
        except ValidationError as error:
            detail = f"{path} is no {getattr(kind, '__name__', kind)}: {_as_text(error)}"
            hint = "write what the next step reads, or change what it expects"
        self._forget()
        raise JobError(Reason.OUTPUT_INVALID, detail=detail, hint=hint)

    def _repr_html_(self) -> str:
        """In a notebook."""
        facts = (
            ("reason", f"{self.reason or ''} {self.detail}".strip()),
            ("exit code", str(self.exit_code)),
            ("output", f"{self.output_dir} ({self._written()})"),
            ("logs", f"ebb logs {self.run.replace('/', ' --from ')}"),
        )
        return html_facts(f"{self.run} · {self.phase}", facts)

    def _written(self) -> str:
        try:
            names = sorted(path.name for path in self.output_dir.iterdir())
        except OSError:
            names = []
        return ", ".join(names) or "nothing"

    def _forget(self) -> None:
        """Done work with the wrong output would else be skipped, and fail, at every retry."""
        if self.remembered is not None:
            self.remembered.unlink(missing_ok=True)
        elif self.home is not None:
            store = open_store(Settings(home=self.home))
            store.set_key(RunName(self.run), None)
            store.close()


def result_of(settings: Settings, run: Run) -> RunResult:
    """The outcome of a run that has ended."""
    return RunResult(
        run=run.name,
        phase=run.phase,
        reason=run.reason,
        detail=run.detail,
        exit_code=ExitCode.INFRASTRUCTURE if run.exit_code is None else run.exit_code,
        output_dir=load_platform(run.spec.platform, settings).fetch_output(run.name),
        outputs=run.spec.outputs,
        home=settings.home,
    )


def _as_text(error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False)
    shown = []
    for problem in problems[:_SHOWN_PROBLEMS]:
        where = ".".join(str(part) for part in problem["loc"])
        shown.append(f"{where}: {problem['msg']}" if where else problem["msg"])
    more = len(problems) - len(shown)
    return "; ".join(shown) + (f"; and {more} more" if more else "")
