"""Secrets on a real cluster: who gets them, what is said of a missing one, and that no value ever gets out."""

from __future__ import annotations

import base64
import itertools

import pytest
from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import Object, eventually
from tests.support.namespace_dump import all_objects, followed_logs
from tests.support.runs import Runs

PASSWORD = "canary-p4ss/word+42"
TOKEN = "canary-t0ken-4711"
CANARIES = (PASSWORD, TOKEN)


def secret(runs: Runs, name: str, **values: str) -> None:
    runs.kube.create(f"{runs.core}/secrets", {"metadata": {"name": name}, "stringData": values})


@pytest.fixture
def vault(runs: Runs) -> Runs:
    """The namespace with the app `vault`, which declares two Secrets that aren't there."""
    runs.upload("vault")
    declared = [{"name": "db", "secret": {"name": "prod-db"}, "keys": ["username", "password"]}, {"name": "payments"}]
    runs.app("vault", "app:Vault", secrets=declared)
    return runs


def with_secrets(vault: Runs) -> None:
    secret(vault, "prod-db", username="extractor", password=PASSWORD, unused="x")
    secret(vault, "payments", token=TOKEN)


def message_of(vault: Runs, run: str) -> str:
    (task,) = vault.tasks(run) or [{}]
    status: Object = task.get("status", {})
    return str(status.get("message", "")) if status.get("phase") == "Waiting" else ""


def test_a_missing_secret_then_a_missing_key_are_named(vault: Runs) -> None:
    secret(vault, "payments", token=TOKEN)
    vault.start("early", "vault", {"how": "use"})
    said = eventually("the missing Secret is told", lambda: message_of(vault, "early"), 60)
    assert said.startswith("SecretNotFound: Secret 'prod-db' isn't there")
    assert "create it" in said
    secret(vault, "prod-db", username="extractor")
    said = eventually(
        "the missing key is told",
        lambda: found if (found := message_of(vault, "early")).startswith("SecretKeyNotFound") else None,
        180,
    )
    assert "password" in said
    vault.kube.merge(f"{vault.core}/secrets/prod-db", {"stringData": {"password": PASSWORD}})
    status = vault.until_phase("early", "Succeeded", seconds=300)
    assert status["output"]["text"] == f"extractor {len(PASSWORD)} {len(TOKEN)}"


def test_only_pods_of_tasks_that_ask_for_a_secret_have_it(vault: Runs) -> None:
    with_secrets(vault)
    vault.start("narrow", "vault", {"how": "narrow"})
    pods = eventually("driver and task run", lambda: p if len(p := vault.pods("narrow")) == 2 else None, 60)
    volumes = {pod["metadata"]["labels"]["apprun.dev/role"]: secrets_of(pod) for pod in pods}
    assert volumes == {"driver": [], "task": ["payments"]}
    assert vault.until_phase("narrow", "Succeeded")["output"]["text"] == "None"


def test_undeclared_secret_fails_the_task_before_it_has_a_pod(vault: Runs) -> None:
    vault.start("undeclared", "vault", {"how": "undeclared"})
    error = vault.until_phase("undeclared", "Failed")["error"]
    assert "spec.secrets" in error["message"]
    assert not [pod for pod in vault.pods("undeclared") if pod["metadata"]["labels"]["apprun.dev/role"] == "task"]


def test_rotated_secret_reaches_a_task_that_runs(vault: Runs) -> None:
    with_secrets(vault)
    vault.start("rotate", "vault", {"how": "await_rotation"})
    pod = eventually("the task has read the first secret", lambda: waits_for_rotation(vault, "rotate"), 60)
    vault.kube.merge(f"{vault.core}/secrets/payments", {"stringData": {"token": "another-one-4712"}})
    looks = itertools.count()

    def ended() -> Object | None:
        status = vault.status("rotate")
        if status.get("phase") in ("Succeeded", "Failed"):
            return status
        # A change of the pod has kubelet look at it at once; else it does so every minute.
        look = {"metadata": {"annotations": {"look": str(next(looks))}}}
        vault.kube.merge(f"{vault.core}/pods/{pod}", look)
        return None

    status = eventually("the run ends", ended, 240, every=3)
    assert status["phase"] == "Succeeded", status
    assert status["output"]["text"] == "rotated"


def test_no_value_is_in_anything_that_is_written(vault: Runs, bed: Bed) -> None:
    with_secrets(vault)
    ends = {"use": "Succeeded", "leak": "Failed", "crash": "Failed", "beat": "Failed"}
    with followed_logs(vault) as logs:
        for how in ends:
            vault.start(how, "vault", {"how": how})
        for how, phase in ends.items():
            vault.until_phase(how, phase)
    assert "[redacted]" in str(vault.status("crash"))
    assert "'payments/token'" in vault.status("leak")["error"]["message"]
    told = "".join(logs.values())
    assert "logged [redacted]" in told
    assert "printed to stderr [redacted]" in told
    operator = bed.run(bed.kubectl, "logs", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/name=apprun", "--tail=-1")
    everything = {**all_objects(vault), **logs, "operator": operator.stdout}
    for place, text in everything.items():
        for value in forms():
            assert value not in text, f"{value} is in {place}"


def forms() -> list[str]:
    """The canaries as they are, and as they may be hidden inside of something."""
    whole = base64.b64encode(f"extractor:{PASSWORD}".encode()).decode()
    return [*CANARIES, *(base64.b64encode(v.encode()).decode().rstrip("=") for v in CANARIES), whole]


def secrets_of(pod: Object) -> list[str]:
    return [volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume]


def waits_for_rotation(vault: Runs, run: str) -> str | None:
    """The pod of the task that holds the first token, once it says so."""
    told = [task.get("status", {}).get("progress", {}).get("message") for task in vault.tasks(run)]
    if "has the first token" not in told:
        return None
    (pod,) = [pod for pod in vault.pods(run) if pod["metadata"]["labels"]["apprun.dev/role"] == "task"]
    return str(pod["metadata"]["name"])
