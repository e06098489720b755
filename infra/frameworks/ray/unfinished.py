"""In the program: how many of its tasks have not ended when it ends by itself."""

from __future__ import annotations

from ebbtide.infra.frameworks.bootstrap import note_at_exit


def watch() -> None:
    """Count them when the program ends."""
    note_at_exit(unfinished, "ray.get(refs)")


def unfinished() -> int:
    """Tasks and calls of actors that this program has asked for and that have not ended.

    They end with the program's job, so that this is asked before Ray's own end.
    """
    import ray
    from ray._private.worker import global_worker

    if not ray.is_initialized():
        return 0
    core = global_worker.core_worker
    return len(core.get_pending_children_task_ids(core.get_current_task_id()))
