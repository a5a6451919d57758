"""The identity of a pool: an owner, and a digest of all that shapes its pods. Another code or shape is another pool."""

from __future__ import annotations

from typing import Final, cast

from application_sdk.wire import names
from application_sdk.wire.digest import JSON, JSONObject, digest
from application_sdk.wire.fields import ReuseFields
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.packed_json import Packed
from apprun_operator.observe.records import TaskRecord
from apprun_operator.observe.workers import OwnerKind, PoolShape, WorkerRecord
from apprun_operator.plan.pod import pod_template, service_accounts
from apprun_operator.plan.pod.image_pinning import image_of

APP_PARTS: Final = ("entry", "imagePullPolicy", "source", "storage", "secrets")
"""What a pod is given of its app, beside what tasks may ask for."""


def shape_of(observed: Observed, task: TaskRecord, reuse: ReuseFields) -> PoolShape:
    """The pool that a call of this run is executed in.

    The App owns it, so that all its runs share the pods. Where there is no App, or it was deleted, the run does:
    what a deleted App owned would be collected as soon as it is made.
    """
    run, app = observed.run, observed.run.app or {}
    kind: OwnerKind = "AppRun"
    owner = run.meta
    if run.app_ref and observed.app is not None and not observed.app.meta.deleting:
        kind, owner = "App", observed.app.meta
    asked: JSONObject = {**pod_template.defaults(app), **cast("JSONObject", task.pod)}
    # An account that is named is the pods' own; the common one of tasks stands for one of this App alone, since what
    # an account may read is what is told to any pod of it.
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
        # With the owner's uid: pods of one App are never given the calls and secrets of another.
        pool=names.pool_name(owner.key.name, digest([owner.uid, body])),
        owner_kind=kind,
        owner=owner.key.name,
        owner_uid=owner.uid,
        body=Packed.of(body),
        reuse=reuse,
        generation=generation if isinstance(generation, int) else 0,
    )


def annotation_of(shape: PoolShape) -> JSONObject:
    """What an AppWorker remembers of its pool, so that an operator that has just started knows it too."""
    return {
        "ownerKind": shape.owner_kind,
        "owner": shape.owner,
        "ownerUid": shape.owner_uid,
        "generation": shape.generation,
        "reuse": cast("JSON", shape.reuse),
        "body": shape.body.decode(),
    }


def shape_from(worker: WorkerRecord) -> PoolShape | None:
    """The shape that an AppWorker remembers; None where somebody has altered it."""
    kept = worker.shape.object()
    body, reuse, uid = kept.get("body"), kept.get("reuse"), kept.get("ownerUid")
    if not isinstance(body, dict) or not isinstance(reuse, dict) or uid != worker.meta.owner_uid:
        return None
    name = str(kept.get("owner"))
    # guard: pool-shape-altered - an annotation that somebody altered would shape pods with the App's secrets
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
