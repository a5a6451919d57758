"""What `make demo` runs: a durable run on a real Kubernetes, a node that dies under it, and a verdict that is computed.

`__main__` is the order of events. `tools` starts programs, `observe` reads the cluster into the records of `views`; all
that follows from them (`story`, `fault`, `verdict`, `board`, `report`) is pure and tested without a cluster.
"""
