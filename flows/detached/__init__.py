"""A detached run on Kubernetes that Prefect records: its flow run is one of a kubernetes work pool.

On the machine that begins it: ``pools`` finds the work pool, ``ordering`` makes the flow run, by
plain HTTP. In the pod that a Prefect worker starts for it: ``__main__``, and ``recording``, which
alone imports Prefect. ``template`` is for the administrator of the work pool.
Belongs here: what Prefect does for such a run. Does not belong here: handing code and secrets over,
and driving the run (``infra.lifecycle.detached``), which are the same without Prefect.
"""
