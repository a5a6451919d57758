"""The engine whose store is the API server: what runs inside driver and task pods.

`pod` is the entry, and `driver_main`, `task_main` and `inspect_main` are the mains of its roles.
`driver` implements the port of `execution.engine`, `report` delivers outcomes, and `api` and
`connection` are all of the HTTP. Task pods pay for each import here, so modules are loaded by role,
and nothing is re-exported.
"""
