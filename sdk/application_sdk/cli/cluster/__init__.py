"""Runs on a Kubernetes cluster, as the person at the terminal sees and changes them.

`access` finds API server and identity, `api` speaks to it, `reading` makes records of objects, `place` is the port.
Imported by cluster verbs only, and only when one is carried out.
"""
