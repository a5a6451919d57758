"""What `make demo` runs: a durable run on a real Kubernetes, a node that dies under it, and a verdict that is computed.

`__main__` is the order of events. `tools` starts programs, and `observe` reads the cluster into the records of
`snapshot`. All that follows from them (`timeline`, `injected_fault`, `verdict`, `dashboard`, `report`) is pure and
tested without a cluster.
"""
