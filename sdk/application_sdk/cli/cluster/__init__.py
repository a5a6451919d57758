"""Runs on a Kubernetes cluster, as the person at the terminal sees and changes them.

`access` finds API server and identity, `api` sends the requests, `parse` turns objects into records, and `source` is
the `RunSource` of a cluster. Only verbs that address a cluster import this package, and only when they run.
"""
