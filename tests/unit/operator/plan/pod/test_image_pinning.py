"""A run keeps to the image and the files that it began with, once they are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from tests.support.records import APP, LIMITS, NOW, a_driver, a_pod, a_run, a_task, seen

from application_sdk.wire import names
from application_sdk.wire.digest import digest
from apprun_operator.observe.observed import Observed
from apprun_operator.observe.records import AppSpecRecord
from apprun_operator.plan.actions import CreatePod, PatchRun
from apprun_operator.plan.pod.image_pinning import image_of
from apprun_operator.plan.run.reconcile import plan

DIGEST = "@sha256:" + "a" * 64
FILES = {**APP, "source": {"configMap": {"name": "code"}}}


@pytest.mark.parametrize(
    ("image", "known", "used"),
    [
        ("repo/app:1", f"repo/app{DIGEST}", f"repo/app{DIGEST}"),
        ("repo:5000/app", f"repo:5000/app{DIGEST}", f"repo:5000/app{DIGEST}"),
        ("app:1", f"docker.io/library/app{DIGEST}", f"app{DIGEST}"),
        ("repo/app:1", f"docker-pullable://repo/app{DIGEST}", f"repo/app{DIGEST}"),
        ("repo/app:1", "", "repo/app:1"),
        ("repo/app:1", "sha256:" + "a" * 64, "repo/app:1"),
        ("repo/app:1", f"docker.io/library/import-2026-01-01{DIGEST}", "repo/app:1"),
        (f"repo/app{DIGEST}", f"repo/app@sha256:{'b' * 64}", f"repo/app{DIGEST}"),
    ],
)
def test_an_image_is_asked_for_by_its_digest_where_that_can_be_pulled(image: str, known: str, used: str) -> None:
    assert image_of({"image": image, "imageDigest": known}) == used


def a_world(app: dict[str, Any], **driver: Any) -> Observed:
    """A run with a driver that lives, a call that is to be started, and one that has just reported."""
    task = a_driver()
    done = a_task("b", phase="Succeeded", digest=digest({}), source_digest="f" * 32, finished_at=NOW)
    call = a_task("a", source_digest="f" * 32)
    pod = a_pod(task, **{"image": app["image"], "image_id": f"runtime{DIGEST}", **driver})
    return seen(task, call, done, pod, run=a_run(app=app))


def started(world: Observed, prefix: str) -> Any:
    (pod,) = (one for one in plan(world, NOW, LIMITS).then if isinstance(one, CreatePod) and prefix in one.pod.name)
    return cast("Any", pod.body)


def written(world: Observed) -> Any:
    (patch,) = (one for one in plan(world, NOW, LIMITS).first if isinstance(one, PatchRun))
    return patch.status


def test_later_pods_are_given_the_image_that_the_first_driver_was_given() -> None:
    body = started(a_world(APP), "-a000")
    assert body["spec"]["containers"][0]["image"] == f"runtime{DIGEST}"
    known = a_world({**APP, "imageDigest": f"runtime@sha256:{'b' * 64}"})
    assert started(known, "-a000")["spec"]["containers"][0]["image"].endswith("b" * 64)


def test_a_pod_is_told_which_files_it_should_find() -> None:
    call = started(a_world(FILES), "-a000")["metadata"]["annotations"][names.CALL_ANNOTATION]
    assert f'"sourceDigest":"{"f" * 32}"' in call


def test_what_is_learned_goes_along_with_a_write_that_is_made_anyway() -> None:
    assert written(a_world(FILES))["app"] == {"imageDigest": f"runtime{DIGEST}", "sourceDigest": "f" * 32}
    quiet = a_world(FILES)
    quiet = replace(quiet, tasks={name: task for name, task in quiet.tasks.items() if not task.finished})
    assert not any(isinstance(one, PatchRun) for one in plan(quiet, NOW, LIMITS).first)


def test_a_run_that_knows_its_code_isnt_taken_for_one_whose_app_was_corrected() -> None:
    app = {**FILES, "imageDigest": f"runtime{DIGEST}", "sourceDigest": "f" * 32}
    spec = AppSpecRecord({key: FILES[key] for key in ("entry", "source")})
    run = a_run(phase="Stalled", reason="CodeChanged", app={**app, "name": "App"}, inline_app=spec, app_ref="")
    world = seen(a_driver(), run=run)
    assert not any("app" in one.status for one in plan(world, NOW, LIMITS).first if isinstance(one, PatchRun))


def test_a_corrected_run_isnt_held_to_the_files_of_calls_that_it_made_before() -> None:
    spec = AppSpecRecord({"entry": "app:App", "source": {"configMap": {"name": "new"}}})
    run = a_run(phase="Stalled", reason="CodeChanged", app={**FILES, "name": "App"}, inline_app=spec, app_ref="")
    call = a_task("a", source_digest="f" * 32)
    assert written(seen(a_driver(), call, run=run))["app"]["sourceDigest"] == ""
    later = replace(run, app={**FILES, "sourceDigest": ""}, phase="Running", conditions=())
    body = started(seen(a_driver(), call, a_pod(a_driver()), run=later), "-a000")
    assert "sourceDigest" not in body["metadata"]["annotations"][names.CALL_ANNOTATION]


def test_a_run_whose_tasks_find_other_files_is_stalled_though_its_driver_lives() -> None:
    entry = {"attempt": 1, "reason": "CodeChanged", "budget": "None", "message": "somebody edited it"}
    call = a_task("a", attempt=2, attempts=(entry,), not_before=NOW + 10)
    world = seen(a_driver(), a_pod(a_driver()), call)
    assert written(world)["phase"] == "Stalled"
    assert written(world)["message"] == "somebody edited it"
    done = replace(call, phase="Succeeded", digest=digest({}))
    stalled = a_run(phase="Stalled", reason="CodeChanged", message="somebody edited it")
    assert written(seen(a_driver(), a_pod(a_driver()), done, run=stalled))["phase"] == "Running"


def test_what_the_app_said_last_holds_when_it_is_gone() -> None:
    calls = [a_task(letter) for letter in "abcd"]
    world = seen(a_driver(), a_pod(a_driver()), *calls, run=a_run(app={**APP, "parallelism": 2}))
    assert len([one for one in plan(world, NOW, LIMITS).then if isinstance(one, CreatePod)]) == 2
