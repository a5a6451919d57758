"""The engine whose store is the API server: what runs inside driver and task pods.

`pod` is the entry; `driver` implements the port of `execution.engine`, `taskpod` runs one attempt, `report` delivers
its outcome. `api` and `connection` are all of the HTTP. Task pods pay for each import here, so modules are loaded by
role, and nothing is re-exported.
"""
