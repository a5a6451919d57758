"""The identity of a pool: its owner, and a digest of everything that shapes its pods.

Other code, or another shape, is another pool. Pure.
"""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import ReuseFields
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.workers import OwnerKind, PoolShape, WorkerRecord
from apprun_operator.plan.pod import pod_fields, service_accounts
from apprun_operator.plan.pod.image_pinning import image_of

APP_PARTS: Final = ("entry", "imagePullPolicy", "source", "storage", "secrets")
"""The fields of an app that shape its pods, beside those that a task can set."""


def shape_of(observed: Observed, task: TaskRecord, reuse: ReuseFields) -> PoolShape:
    """The shape of the pool that executes a call of this run.

    The App owns the pool, so that all its runs share the pods. Without an App, or if it is being
    deleted, the run owns it: what a deleted App owns is garbage collected as soon as it is created.
    """
    run, app = observed.run, observed.run.app or {}
    kind: OwnerKind = "AppRun"
    owner = run.meta
    if run.app_ref and observed.app is not None and not observed.app.meta.deleting:
        kind, owner = "App", observed.app.meta
    asked = pod_fields.of_task(app, task)
    # The pods have the account that the task or the App names. In place of the common account of
    # task pods they have one of their App alone: an account reads all inboxes of its pools.
    account = service_accounts.account_of(app, task)
    if account == names.TASK_SERVICE_ACCOUNT:
        account = names.worker_account(owner.key.name)
    body: JSONObject = {
        **{part: app[part] for part in APP_PARTS if part in app},
        "sourceDigest": app.get("sourceDigest", task.source_digest),
        "image": asked.pop("image", None) or image_of(app),
        "wanted": asked.pop("secrets", None),
        "pod": asked,
        "account": account,
        "mode": reuse["mode"],
        "concurrency": reuse["concurrency"],
        "maxCalls": reuse.get("maxCalls"),
    }
    generation = app.get("generation")
    return PoolShape(
        # With the owner's uid, so no App gets the pods of another one, or of an earlier one.
        pool=names.pool_name(owner.key.name, digest([owner.uid, body])),
        owner_kind=kind,
        owner=owner.key.name,
        owner_uid=owner.uid,
        body=Packed.of(body),
        reuse=reuse,
        generation=generation if isinstance(generation, int) else 0,
    )


def annotation_of(shape: PoolShape) -> JSONObject:
    """The shape as an AppWorker's annotation keeps it, for an operator that has just started."""
    return {
        "ownerKind": shape.owner_kind,
        "owner": shape.owner,
        "ownerUid": shape.owner_uid,
        "generation": shape.generation,
        "reuse": cast("JSON", shape.reuse),
        "body": shape.body.decode(),
    }


def shape_from(worker: WorkerRecord) -> PoolShape | None:
    """The shape in an AppWorker's annotation; None if somebody has altered it."""
    kept = worker.shape.object()
    body, reuse, uid = kept.get("body"), kept.get("reuse"), kept.get("ownerUid")
    if not isinstance(body, dict) or not isinstance(reuse, dict) or uid != worker.meta.owner_uid:
        return None
    name = str(kept.get("owner"))
    # guard: pool-shape-altered - an annotation that somebody altered would shape pods that have the
    # App's secrets
    if names.pool_name(name, digest([uid, body])) != worker.pool:
        return None
    generation = kept.get("generation")
    return PoolShape(
        worker.pool,
        "App" if kept.get("ownerKind") == "App" else "AppRun",
        name,
        str(uid),
        Packed.of(body),
        cast("ReuseFields", reuse),
        generation if isinstance(generation, int) else 0,
    )
