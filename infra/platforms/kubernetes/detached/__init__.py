"""A run whose flow lives in a pod of the namespace, so that the machine it began on may go away.

``job`` is what is made for it, ``leaving`` what the machine does that begins it, ``arriving`` what
the pod does before it drives.
Belongs here: handing a run over. Does not belong here: driving it (``infra.lifecycle``).
"""
