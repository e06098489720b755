"""The store of runs on Kubernetes, put together, and how it is opened."""

from __future__ import annotations

from ebbtide.infra.files.place import KubernetesPlace
from ebbtide.infra.models.records import ProcessRef, Registration
from ebbtide.infra.platforms.kubernetes.api import Api
from ebbtide.infra.platforms.kubernetes.connections import connected
from ebbtide.infra.platforms.kubernetes.records.clusters import ClusterRecords
from ebbtide.infra.platforms.kubernetes.records.objects import Objects
from ebbtide.infra.platforms.kubernetes.records.runs import RunRecords
from ebbtide.infra.platforms.kubernetes.records.stories import StoryRecords
from ebbtide.infra.records.store import Registrations
from ebbtide.infra.settings import Settings


class KubernetesStore(RunRecords, ClusterRecords, StoryRecords):
    """The records of one namespace. See ``infra.records.store.Registrations``.

    Not for sharing between threads: open one each; they may share the ``Api``.

    Raises (from every method):
        ProvisioningError: API_UNREACHABLE, NAMESPACE_GONE; LEDGER_UNWRITABLE, for an object that
            is no record.
        ConfigurationError: NO_RIGHTS; LEDGER_NEWER, for an object of a newer version.
    """

    def __init__(
        self,
        api: Api,
        registrations: Registrations,
        *,
        looking: bool = False,
        following: bool = False,
    ):
        """Make it; nothing is asked yet.

        Args:
            api: of the namespace.
            registrations: of processes, which are this machine's business.
            looking: whether what a list has brought may be shown again for a second.
            following: whether what is read often is to be followed by a watch, which others in
                this process share.
        """
        super().__init__(Objects(api, looking=looking, following=following))
        self._registrations = registrations

    @property
    def place(self) -> KubernetesPlace:
        """Where it is, with what was left open when it was opened."""
        access = self.objects.api.access
        return KubernetesPlace(
            context=access.context, namespace=access.namespace, kubeconfig=access.kubeconfig
        )

    def register_process(self, flow_run_id: str, name: str, process: ProcessRef) -> None:
        """Record it on this machine."""
        self._registrations.register_process(flow_run_id, name, process)

    def registered(self) -> list[Registration]:
        """Return those of this machine."""
        return self._registrations.registered()

    def is_registered(self, flow_run_id: str) -> bool:
        """Whether a process of this machine has registered as this flow run."""
        return self._registrations.is_registered(flow_run_id)

    def unregister_process(self, gone: Registration) -> None:
        """Remove a process of this machine that is gone."""
        self._registrations.unregister_process(gone)

    def check(self) -> None:
        """Read something: the metadata of the runs."""
        self.run_names()

    def catch_up(self) -> None:
        """Ask the server itself next time: a watch may be a moment behind."""
        self.objects.catch_up()

    def close(self) -> None:
        """End the watches that nobody else in this process needs."""
        self.objects.close()


def open_at(settings: Settings, registrations: Registrations, *, looking: bool) -> KubernetesStore:
    """Open the store of the namespace that is in use. Asks nothing yet.

    Args:
        settings: of this installation.
        registrations: of processes of this machine.
        looking: whether it is for a command that only looks.

    Returns:
        The store, for the calling thread.

    Raises:
        ConfigurationError: PLATFORM_UNUSABLE, there are no credentials, or no such context.
    """
    return KubernetesStore(connected(settings), registrations, looking=looking, following=True)
