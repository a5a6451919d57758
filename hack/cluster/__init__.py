"""A real Kubernetes on a bare Linux machine, in one command: the demo's cluster and the test bed.

Every machine of the cluster is a set of Linux namespaces. ``cp`` holds the control plane; ``node1``, ``node2``, … each
hold a containerd, a kubelet and a kube-proxy. Inside a node the usual paths (``/var/lib/kubelet``, ``/run/containerd``)
are the node's own, its processes hang under one init, and its network is one cable; so pulling a plug is one signal,
and what a cluster has on its host is short enough to be listed (``traces.py``).

Standard library only: this must run on a fresh Debian before anything is installed. Start reading at ``cli.py``.
"""
