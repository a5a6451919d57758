"""The code that a run began with, once that is known: who moves a tag or edits a ConfigMap doesn't
change it under it.

What is known is learned from pods and calls that are there anyway, and written with the next
commit, never for itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from application_sdk.wire.digest import JSONObject
from apprun_operator.observe.observed import Observed
from apprun_operator.plan.limits import PARK_AFTER

PINS: Final = ("imageDigest", "sourceDigest")
"""Fields of `status.app` that say which code the run began with; the others say what was asked
for."""
_BY_DIGEST: Final = "@sha256:"
_DOCKER_HUB: Final = ("docker.io/library/", "docker.io/", "index.docker.io/")


def pinned(observed: Observed) -> Observed:
    """The run with what is known by now of the code that it began with."""
    app = observed.run.app or {}
    found: JSONObject = {}
    driver = observed.driver
    if "imageDigest" not in app and driver is not None:
        pod = observed.pods.get(driver.pod_name)
        if pod is not None and pod.image_id and pod.running_since and pod.asked_image == app.get("image"):
            found["imageDigest"] = pod.image_id
    if "sourceDigest" not in app and "source" in app:
        digests = {task.source_digest for task in observed.tasks.values() if task.source_digest}
        if digests:
            found["sourceDigest"] = min(digests)
    if not found:
        return observed
    return replace(observed, run=replace(observed.run, app={**app, **found}))


def corrected(observed: Observed, app: JSONObject) -> JSONObject:
    """`app`, to which a stalled run was resolved again, without the source digest of earlier
    calls."""
    return {**app, "sourceDigest": ""} if any(task.source_digest for task in observed.tasks.values()) else app


def learned(before: JSONObject | None, after: JSONObject | None) -> JSONObject:
    """The pins that aren't in the status yet."""
    return {name: value for name, value in (after or {}).items() if name in PINS and name not in (before or {})}


def asked_for(app: JSONObject | None) -> JSONObject:
    """`status.app` without pins: what it was resolved to.

    Runs of operators that knew no parked drivers count as resolved with the default.
    """
    resolved: JSONObject = {name: value for name, value in (app or {}).items() if name not in PINS}
    if resolved:
        resolved.setdefault("parkAfterSeconds", PARK_AFTER)
    return resolved


def image_of(app: JSONObject) -> str:
    """The image of a run's pods: by its digest when it is known, and is of the repository that was
    asked for.

    A node that was given its images by hand knows them by an id, or by a repository of its own:
    nobody can pull that.
    """
    image, known = str(app.get("image") or ""), str(app.get("imageDigest") or "").removeprefix("docker-pullable://")
    repository, found, digest = known.partition(_BY_DIGEST)
    if not found or _BY_DIGEST in image or _plain(repository) != _plain(_without_tag(image)):
        return image
    return f"{_without_tag(image)}{_BY_DIGEST}{digest}"


def _without_tag(image: str) -> str:
    name, colon, tag = image.rpartition(":")
    return name if colon and "/" not in tag else image


def _plain(repository: str) -> str:
    """As it is named without the registry that is meant when none is."""
    for registry in _DOCKER_HUB:
        if repository.startswith(registry):
            return repository.removeprefix(registry)
    return repository
