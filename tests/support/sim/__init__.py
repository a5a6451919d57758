"""A whole cluster in one thread and in virtual time: the real operator, drivers and tasks around a fake API server.

`greenlets` runs blocking code beside an event loop; `patched` puts it under the SDK's pods; `access` and `schema` are
what the API server refuses; `connections` are the clients' wires; `nodes` has scheduler, kubelets and controllers;
`cluster` puts it together, `invariants` says what must hold at every moment.
"""
