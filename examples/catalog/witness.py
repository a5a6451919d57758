"""The witness: a ConfigMap that says "this task body ran to its end", outside AppRun's own books.

`app.py` leaves one as the last act of each task, just before it returns. So the number of witnesses of a task call is
the number of times its body ran to the end, whatever the ledger says. A body that died with its node before
that leaves none; one that died between its witness and its report leaves one, and the next attempt another. Pod and
node come from the pod's own token, which the API server signed.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass

from apiserver import ApiServer

LABEL = "catalog.apprun.dev"


@dataclass(frozen=True)
class Ran:
    """One execution. `idempotency_key` is `<run uid>/<key>`, the same for each attempt of a task call."""

    run: str
    task: str
    idempotency_key: str
    attempt: int


def leave_witness(api: ApiServer, ran: Ran) -> None:
    """Create the witness of this execution. Its name is drawn once, so a repeated request can't make a second one."""
    run_uid, _, key = ran.idempotency_key.partition("/")
    pod, node = whereabouts(api.token)
    labels = {"witness": "true", "run": ran.run, "key": key, "attempt": str(ran.attempt)}
    # Owned by the run, so that the witnesses go when their run is deleted.
    owner = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppRun", "name": ran.run, "uid": run_uid}
    body: dict[str, object] = {
        "metadata": {
            "name": f"ran-{uuid.uuid4().hex}",
            "labels": {f"{LABEL}/{name}": value for name, value in labels.items()},
            "ownerReferences": [owner],
        },
        "data": {"task": ran.task, "pod": pod, "node": node},
    }
    api.create(f"/api/v1/namespaces/{api.namespace}/configmaps", body)


def whereabouts(token: str) -> tuple[str, str]:
    """Names of the pod and the node that a service account token is bound to; empty where it doesn't say."""
    parts = token.split(".")
    if len(parts) != 3:
        return "", ""
    payload = parts[1] + "=" * (-len(parts[1]) % 4)
    claims = json.loads(base64.urlsafe_b64decode(payload)).get("kubernetes.io", {})
    return claims.get("pod", {}).get("name", ""), claims.get("node", {}).get("name", "")
