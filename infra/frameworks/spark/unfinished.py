"""In the program: how many of its tasks have not ended when it ends by itself."""

from __future__ import annotations

from ebbtide.infra.frameworks.bootstrap import note_at_exit


def watch() -> None:
    """Count them when the program ends."""
    note_at_exit(unfinished, "join the threads that run jobs before the program ends")


def unfinished() -> int:
    """Tasks of the jobs that daemon threads of the program still wait for.

    Python joins all other threads before this is asked.
    """
    from pyspark import SparkContext

    context = SparkContext._active_spark_context
    if context is None or context._jsc is None:
        return 0
    tracker = context.statusTracker()
    jobs = filter(None, map(tracker.getJobInfo, tracker.getActiveJobsIds()))
    stages = [tracker.getStageInfo(stage) for job in jobs for stage in job.stageIds]
    return sum(stage.numTasks - stage.numCompletedTasks for stage in stages if stage is not None)
