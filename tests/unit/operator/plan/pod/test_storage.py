"""What a task's pod is given to reach the file store."""

from __future__ import annotations

import json
from typing import Any

from tests.support.records import APP, LIMITS, a_driver, a_run, a_task

from application_sdk.wire import names
from apprun_operator.plan.pod import pods

S3 = {"url": "s3://files/apprun", "secretRef": {"name": "store"}, "options": {"region": "eu", "endpoint": "https://s3"}}
VOLUME = {"url": "file:///team", "volumeClaim": {"name": "shared"}}


def spec(storage: dict[str, Any] | None, task: Any = None) -> dict[str, Any]:
    run = a_run(app={**APP, **({"storage": storage} if storage else {})})
    return dict(pods.pod(run, task or a_task("a"), LIMITS).body["spec"])  # type: ignore[call-overload]


def env(made: dict[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry.get("value", "") for entry in made["containers"][0]["env"]}


def mounts(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {mount["name"]: mount for mount in made["containers"][0]["volumeMounts"]}


def test_task_pod_is_told_the_stores_url_and_options() -> None:
    told = env(spec(S3))
    assert told[names.STORE_URL_VARIABLE] == "s3://files/apprun"
    assert json.loads(told[names.STORE_OPTIONS_VARIABLE]) == S3["options"]


def test_credentials_are_files_and_never_environment() -> None:
    made = spec(S3)
    assert mounts(made)["store"] == {"name": "store", "mountPath": names.STORE_DIRECTORY, "readOnly": True}
    (volume,) = [volume for volume in made["volumes"] if volume["name"] == "store"]
    assert volume["secret"]["secretName"] == "store"
    assert "envFrom" not in made["containers"][0]


def test_no_pod_starts_without_its_credentials() -> None:
    (volume,) = [volume for volume in spec(S3)["volumes"] if volume["name"] == "store"]
    assert "optional" not in volume["secret"]


def test_drivers_get_nothing_of_the_store() -> None:
    for storage in (S3, VOLUME, None):
        assert spec(storage, a_driver()) == spec(None, a_driver())


def test_file_store_is_a_folder_of_the_volume_that_the_pods_group_may_write_to() -> None:
    made = spec(VOLUME)
    assert env(made)[names.STORE_URL_VARIABLE] == f"file://{names.VOLUME_DIRECTORY}/team"
    assert mounts(made)["files"]["mountPath"] == names.VOLUME_DIRECTORY
    assert made["securityContext"]["fsGroup"] == made["securityContext"]["runAsGroup"]
    assert made["volumes"][-1]["persistentVolumeClaim"] == {"claimName": "shared"}


def test_app_that_names_no_store_gets_its_namespaces() -> None:
    container = spec(None)["containers"][0]
    assert container["envFrom"] == [
        {kind: {"name": names.NAMESPACE_STORE, "optional": True}} for kind in ("configMapRef", "secretRef")
    ]
    assert "fsGroup" not in spec(None)["securityContext"]
