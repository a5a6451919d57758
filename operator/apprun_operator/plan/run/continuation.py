"""The run that another one continues as, after `continue_with`: same app, same chain, new input,
empty ledger.

Its name follows from the run before it, so it is created before that run is said to have ended: a
crash in between only makes it be found.
"""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import ContinuationFields
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.records import Key, RunRecord
from apprun_operator.plan.actions import CreateRun

OF_THE_RUN_ALONE: Final = ("input", "entrypoint", "cancel")
"""Fields of a spec that its continuation doesn't take over."""
DIGITS: Final = 6


def successor(run: RunRecord, continuation: Packed) -> CreateRun:
    """The run to create. It belongs to nobody: the one before it may be deleted at any time."""
    fields, own = cast("ContinuationFields", continuation.decode()), run.spec.object()
    before = cast("JSONObject", own.get("continuedFrom") or {})
    first = str(before.get("first") or run.meta.key.name)
    number = int(cast("int", before.get("number") or 1)) + 1
    key = Key(run.meta.key.namespace, _name(first, number, run.origin_uid))
    kept: JSONObject = {name: value for name, value in own.items() if name not in OF_THE_RUN_ALONE}
    spec: JSONObject = {
        **kept,
        "input": fields["input"],
        "correlationId": run.correlation_id or run.origin_uid,
        "continuedFrom": {"name": run.meta.key.name, "uid": run.origin_uid, "first": first, "number": number},
    }
    if fields["entrypoint"]:
        spec["entrypoint"] = fields["entrypoint"]
    metadata: JSONObject = {
        "name": key.name,
        "namespace": key.namespace,
        "labels": {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.CHAIN_LABEL: first},
    }
    body: JSONObject = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_RUN_KIND,
        "metadata": metadata,
        "spec": cast("JSON", spec),
    }
    return CreateRun(run.meta.key, key, body)


def _name(first: str, number: int, uid: str) -> str:
    """`daily` goes on as `daily-2-3f9a1c`: readable, and never that of a run in another chain of
    the same name."""
    suffix = f"-{number}-{digest(uid)[:DIGITS]}"
    return f"{first[: names.RUN_NAME_MAX_LENGTH - len(suffix)]}{suffix}"
