"""The lab's pool controller: it plays Cluster Autoscaler, and the cloud behind it, on KWOK nodes.

Belongs here: what a user of Cluster Autoscaler sees and nothing else simulates: pod events, taints,
timers, the status ConfigMap; stock-outs, failed and slow boots on order. Does not belong here: how
Karpenter's pools grow (``simulated``). ``values``, ``fit``, ``grow``, ``shrink``, ``cloud`` and
``words`` are pure; ``cluster`` does the input and output and ``controller`` the order of it.
Tests call ``orders``.
"""
