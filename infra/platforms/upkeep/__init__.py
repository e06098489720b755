"""What whoever takes care of a cluster does on every platform: tells its state, keeps its book.

The local supervisor does it, and on Kubernetes the tender in the flow process. Judged by the rules
of ``infra.policy``. Does not belong here: processes and pods, how anything is measured or ended.
"""
