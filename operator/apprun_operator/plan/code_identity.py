"""The code that an App or a run names: the template of its pods, a digest of it, and whether it can
change by itself."""

from __future__ import annotations

from typing import Final

from application_sdk.wire import names
from application_sdk.wire.digest import JSONObject, digest
from apprun_operator.observe.apps import AppRecord
from apprun_operator.observe.records import AppSpecRecord
from apprun_operator.plan.limits import PARK_AFTER, Limits

NAMING: Final = ("entry", "image", "source")
"""The fields that name code."""


def template_of(spec: AppSpecRecord, name: str, generation: int, limits: Limits) -> JSONObject:
    """The template of the pods, with the operator's defaults filled in."""
    made: JSONObject = {**spec.template, "name": name, "generation": generation}
    made.setdefault("image", limits.runtime_image)
    if limits.image_pull_policy:
        made.setdefault("imagePullPolicy", limits.image_pull_policy)
    made.setdefault("parkAfterSeconds", PARK_AFTER)
    made.setdefault("serviceAccountName", names.TASK_SERVICE_ACCOUNT)
    for field, value in (("parallelism", spec.parallelism), ("cancelGraceSeconds", spec.cancel_grace)):
        if value is not None:
            made[field] = value
    if spec.ttl_seconds is not None:
        made["retention"] = {"ttlSecondsAfterFinished": spec.ttl_seconds}
    return made


def remembered(app: JSONObject) -> AppSpecRecord:
    """The App's spec as far as a running run needs it, from the `status.app` of that run."""
    retention = app.get("retention")
    ttl = retention.get("ttlSecondsAfterFinished") if isinstance(retention, dict) else None
    parallelism, grace = app.get("parallelism"), app.get("cancelGraceSeconds")
    return AppSpecRecord(
        app,
        parallelism=parallelism if isinstance(parallelism, int) else None,
        cancel_grace=grace if isinstance(grace, int | float) else None,
        ttl_seconds=ttl if isinstance(ttl, int | float) else None,
    )


def code_of(app: AppRecord, limits: Limits) -> str:
    """Digest of the fields that name an App's code: other code has another digest. Empty for an App
    that can't be read."""
    if app.spec is None:
        return ""
    named = {"image": limits.runtime_image, **app.spec.template}
    return digest([{field: named.get(field) for field in NAMING}, app.inspect_request])


def may_move(app: AppRecord, limits: Limits) -> bool:
    """Whether the same spec may name other code later: an image by its tag, or files that somebody
    edits."""
    template = {} if app.spec is None else app.spec.template
    return "source" in template or "@sha256:" not in str(template.get("image") or limits.runtime_image)
