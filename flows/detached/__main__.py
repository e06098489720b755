"""``python -m ebbtide.flows.detached RUN DIGEST``: a detached run's flow, which Prefect records.

A Prefect worker has started it for a flow run of its work pool. It takes the run over and drives it
as ``infra.lifecycle.detached`` does, in that flow run. Where Prefect cannot be used from this pod
the run goes on all the same, and says so: no run fails for its records.

Told to go it just goes, as its next pod adopts what is there, unless it was cancelled in Prefect.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
import threading
import traceback

from ebbtide.flows.detached import flow_runs
from ebbtide.flows.flow_process import go_on_unrecorded
from ebbtide.flows.prefect_server import api
from ebbtide.flows.prefect_server.server import QUIET
from ebbtide.infra.errors import EbbError
from ebbtide.infra.lifecycle import steps
from ebbtide.infra.lifecycle.attempts import carry_out
from ebbtide.infra.lifecycle.detached.driving import TOLD_TO_GO, live
from ebbtide.infra.lifecycle.stop import stop_run
from ebbtide.infra.models.ids import RunName
from ebbtide.infra.models.phases import Phase, Reason
from ebbtide.infra.models.records import Run
from ebbtide.infra.records.store import RunStore
from ebbtide.infra.settings import Settings, load_settings

_CHECK_TIMEOUT_S = 15.0
_LOOK_TIMEOUT_S = 2.0
_ENDS = {Phase.SUCCEEDED: flow_runs.COMPLETED, Phase.CANCELLED: flow_runs.CANCELLED}


def main(run: RunName, digest: str) -> int:
    """Take a run over and carry it out in its flow run.

    Args:
        run: its name.
        digest: of its package of code.

    Returns:
        What to exit with.
    """
    settings = load_settings()
    flow_run = FlowRun(settings, run)
    flow_run.heed_sigterm()
    return live(settings, run, digest, flow_run.drive, flow_run.ended)


class FlowRun:
    """The flow run that this process was started for."""

    def __init__(self, settings: Settings, run: RunName):
        self._settings, self._run = settings, run
        self._api = api.named(os.environ)
        self._id = os.environ.get("PREFECT__FLOW_RUN_ID", "")

    def drive(self, settings: Settings, store: RunStore, run: Run) -> None:
        """Carry the run out, as the flow run where that is possible.

        Args:
            settings: of this pod.
            store: with the run.
            run: which.
        """
        try:
            self._record(settings, store, run)
        except BaseException as error:
            if not isinstance(error, EbbError):
                traceback.print_exc()
            go_on_unrecorded(settings, store, run.spec, error)

    def _record(self, settings: Settings, store: RunStore, run: Run) -> None:
        if self._api is None or not self._id:
            raise RuntimeError("the pod has no PREFECT_API_URL, or no flow run: see its work pool")
        api.check(self._api, os.environ, timeout_s=_CHECK_TIMEOUT_S)
        if flow_runs.state_of(self._api, self._id).type in flow_runs.CANCEL:
            stop_run(settings, run.name, Reason.CANCELLED)
            return carry_out(settings, store, run.spec, steps)
        # What its worker has there is of another machine.
        os.environ.update({**QUIET, "PREFECT_HOME": str(settings.home / "prefect")})
        os.environ.pop("PREFECT_PROFILES_PATH", None)
        # Only now: importing Prefect reads the environment, and takes its time.
        flow = importlib.import_module("ebbtide.flows.run_job").adopt_run
        recording = importlib.import_module("ebbtide.flows.detached.recording")
        # Prefect takes SIGTERM over in the main thread, and then would end the run.
        failed: list[BaseException] = []

        def go() -> None:
            try:
                recording.run_as(flow, self._id, {"run": run.name})
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=go, name="ebb-flow")
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    def ended(self, run: Run | None) -> None:
        """Say how it ended, where Prefect was not told in the flow run itself."""
        if self._api is None or not self._id:
            return
        with contextlib.suppress(OSError, ValueError):
            if run is None:
                where = self._settings.namespace or "its namespace"
                message = f"no run {self._run} in {where} of this pod's Kubernetes: it is another"
                flow_runs.end(self._api, self._id, flow_runs.FAILED, message)
            elif run.phase is not None:
                type_ = _ENDS.get(run.phase, flow_runs.FAILED)
                flow_runs.end(self._api, self._id, type_, run.detail or str(run.reason or ""))

    def heed_sigterm(self) -> None:
        """Go when told to; or stop the run, when its flow run is being cancelled."""

        def go(*_: object) -> None:  # in a thread: what is interrupted may hold any lock
            threading.Thread(target=self._go, daemon=True).start()

        signal.signal(signal.SIGTERM, go)

    def _go(self) -> None:
        if self._api is not None and self._id:
            with contextlib.suppress(OSError, ValueError, EbbError):
                state = flow_runs.state_of(self._api, self._id, timeout_s=_LOOK_TIMEOUT_S)
                if state.type in flow_runs.CANCEL:
                    stop_run(self._settings, self._run, Reason.CANCELLED)
                    return  # the run ends, and with it this process
        os._exit(TOLD_TO_GO)


if __name__ == "__main__":
    sys.exit(main(RunName(sys.argv[1]), sys.argv[2]))
