"""Objects that are made to stop an operator, at a live one: too deep, too large, with schemas without end, with numbers
without measure. Each is refused or reported where it is; runs beside them go on, also after the operator has restarted.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from tests.cluster.admission_world import operator_account
from tests.cluster.apiserver import Client
from tests.support.bed import SYSTEM_NAMESPACE, Bed
from tests.support.kube import CORE, ApiError, Kube, Object, eventually
from tests.support.replicas import Replicas
from tests.support.runs import Runs

from apprun_operator.kube.decode import decode

pytestmark = pytest.mark.exclusive

GOOD = {"before": 1, "width": 2, "after": 1}
LONGEST = 240 * 1024
ENDING = ("before", "amid", "after", "endless", "victim")
"""Runs that succeed, whatever is beside them."""


def nested(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def send(kube: Kube, method: str, path: str, text: str, content: str, **headers: str) -> tuple[int, str]:
    """A request whose body no encoder could make."""
    sent = {**kube.headers, "Content-Type": content, **headers}
    answer = kube.pool.request(method, kube.server + path, body=text.encode(), headers=sent, timeout=60)
    return answer.status, answer.data.decode()


def read(kube: Kube, path: str) -> Object:
    """An object, however deep it is."""
    found: Object = decode(kube.raw(path).encode())
    return found


def a_run(name: str, input: str, **spec: Any) -> str:
    rest = json.dumps({"appRef": {"name": "probe"}, **spec})[1:]
    head = f'"apiVersion":"apprun.dev/v1alpha1","kind":"AppRun","metadata":{{"name":"{name}"}}'
    return f'{{{head},"spec":{{"input":{input},{rest}}}'


def apply(runs: Runs, name: str, input: str, **spec: Any) -> tuple[int, str]:
    return send(runs.kube, "POST", f"{runs.api}/appruns", a_run(name, input, **spec), "application/json")


def write_status(runs: Runs, bed: Bed, path: str, text: str) -> tuple[int, str]:
    """A status, in the operator's name."""
    account = ":".join(("system:serviceaccount", *operator_account(Client.from_kubeconfig(bed.kubeconfig))))
    impersonated = {"Impersonate-User": account, "Impersonate-Group": "system:masters"}
    return send(runs.kube, "PATCH", f"{runs.api}/{path}/status", text, "application/merge-patch+json", **impersonated)


def stalled(runs: Runs, name: str) -> str | None:
    """What a run says that can't be read."""
    status = read(runs.kube, f"{runs.api}/appruns/{name}").get("status", {})
    found = next((one for one in status.get("conditions", []) if one["type"] == "Stalled"), {})
    return str(found["message"]) if (found.get("status"), found.get("reason")) == ("True", "Unreadable") else None


def longest_block(bed: Bed) -> str:
    """Between which two bounds the longest lag of a replica's loop was."""
    found = []
    for pod in Replicas(bed).pods():
        path = f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
        counts = re.findall(r'apprun_loop_lag_seconds_bucket\{le="([^"]+)"\} (\S+)', bed.kube.raw(path))
        total = float(counts[-1][1])
        found.append(next(bound for bound, count in counts if float(count) == total))
    return f"under {max(found, key=float)} s"


@pytest.fixture
def is_first_healthy_attempt(bed: Bed, runs: Runs) -> Iterator[None]:
    """Good runs before, amid and after; no replica restarts meanwhile."""
    known = {one.name: one.restarts for one in Replicas(bed).all()}
    runs.start("before", "probe", {**GOOD, "seconds": 5})
    yield
    runs.start("amid", "probe", GOOD)
    for name in ("before", "amid"):
        assert runs.until_phase(name, "Succeeded", "Failed", seconds=240)["phase"] == "Succeeded"
    # Equal calls of several runs have one key, so all runs of the namespace count.
    names = [name for name in ENDING if runs.kube.find(f"{runs.api}/appruns/{name}")]
    assert runs.witnesses() == Counter(entry["key"] for name in names for entry in runs.checkpoints(name))
    print(f"the loop's longest block: {longest_block(bed)}")
    restarts = {one.name: one.restarts for one in Replicas(bed).all()}
    assert all(restarts[name] == known.get(name, 0) for name in restarts)


def test_deep_objects_are_told_of_on_their_runs(bed: Bed, runs: Runs, is_first_healthy_attempt: None) -> None:
    runs.start("victim", "probe", {"before": 0, "width": 1, "after": 0, "seconds": 40})
    (task,) = eventually("the victim's call is made", lambda: runs.tasks("victim") or None)
    name = task["metadata"]["name"]
    assert write_status(runs, bed, f"apptasks/{name}", f'{{"status":{{"heartbeat":{nested(1200)}}}}}')[0] == 200
    assert apply(runs, "deep", nested(1500))[0] == 201
    assert "status.heartbeat" in eventually("the victim is told", lambda: stalled(runs, "victim"), 120)
    assert "spec.input" in eventually("the deep run is told", lambda: stalled(runs, "deep"), 120)
    assert not runs.pods("deep")
    replicas = Replicas(bed)
    others = {one.name for one in replicas.all()}
    bed.terminations.all_removed("both replicas are deleted, so that new ones meet these objects")
    for pod in others:
        bed.kube.delete(f"{CORE}/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}", gracePeriodSeconds=1)
    eventually("two new replicas are ready", lambda: len({r.name for r in replicas.all()} - others) == 2 or None, 180)
    runs.start("after", "probe", GOOD)
    assert runs.until_phase("after", "Succeeded", "Failed", seconds=240)["phase"] == "Succeeded"
    assert stalled(runs, "deep")
    assert write_status(runs, bed, f"apptasks/{name}", '{"status":{"heartbeat":null}}')[0] == 200
    assert runs.until_phase("victim", "Succeeded", "Failed", seconds=240)["phase"] == "Succeeded"
    bed.kube.delete(f"{runs.api}/appruns/deep")


LARGE = {
    "empty objects": f'{{"a":[{",".join(["{}"] * (LONGEST // 3 - 10))}]}}',
    "ones": f'{{"a":[{",".join(["1"] * (LONGEST // 2 - 10))}]}}',
    "large numbers": f'{{"a":[{",".join(["1e300"] * (LONGEST // 6 - 10))}]}}',
    "small numbers": f'{{"a":[{",".join(["1.25e-7"] * (LONGEST // 8 - 10))}]}}',
    "text": f'{{"a":"{"x" * (LONGEST - 10)}"}}',
    "other writing": '{"a":"' + "\u65e5" * (LONGEST // 3 - 10) + '"}',
}


@pytest.mark.parametrize("kind", LARGE)
def test_the_longest_input_that_the_sdk_takes_passes(runs: Runs, kind: str) -> None:
    began = time.monotonic()
    code, text = apply(runs, "longest", LARGE[kind], suspend=True)
    print(f"{kind}: {len(LARGE[kind].encode())} bytes in {time.monotonic() - began:.2f} s")
    assert code == 201, text[:500]


def test_what_is_longer_is_refused_with_the_limit(runs: Runs, bed: Bed) -> None:
    code, text = apply(runs, "large", f'{{"a":[{",".join(["{}"] * 400_000)}]}}')
    assert (code, "spec.input is too large: its JSON may be 240 KiB long" in text) == (422, True) or code == 403, text[
        :500
    ]
    runs.start("reporting", "probe", {"before": 0, "width": 1, "after": 0, "seconds": 20})
    (task,) = eventually("the call is made", lambda: runs.tasks("reporting") or None)
    path = f"apptasks/{task['metadata']['name']}"
    code, text = write_status(runs, bed, path, f'{{"status":{{"heartbeat":{{"a":"{"x" * 20_000}"}}}}}}')
    assert code >= 400, text[:200]
    assert "status.heartbeat is too large: its JSON may be 8 KiB long" in text
    assert write_status(runs, bed, path, f'{{"status":{{"heartbeat":{{"a":"{"x" * 8_000}"}}}}}}')[0] == 200
    assert runs.until_phase("reporting", "Succeeded", "Failed", seconds=180)["phase"] == "Succeeded"


def test_a_forged_schema_without_end_lets_runs_begin(runs: Runs, bed: Bed, is_first_healthy_attempt: None) -> None:
    runs.until_inspected("probe")
    contracts = runs.kube.get(f"{runs.api}/apps/probe")["status"]["contracts"]
    endless = {"$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}] * 8}}, "$ref": "#/$defs/A"}
    for entry in contracts["schemas"]["entrypoints"].values():
        entry["input"] = endless
    forged = json.dumps({"status": {"contracts": {**contracts, "schemas": contracts["schemas"]}}})
    assert write_status(runs, bed, "apps/probe", forged)[0] == 200
    runs.start("endless", "probe", GOOD)
    assert runs.until_phase("endless", "Succeeded", "Failed", seconds=180)["phase"] == "Succeeded"


@pytest.mark.parametrize("field", ["initialIntervalSeconds", "maxIntervalSeconds", "backoffCoefficient"])
def test_a_number_without_measure_is_refused_by_the_schema(runs: Runs, field: str) -> None:
    retry = {"maxAttempts": 3, "initialIntervalSeconds": 1, "maxIntervalSeconds": 60, "backoffCoefficient": 2}
    key = "0123456789abcdef" * 2
    spec = {"run": "r", "role": "task", "key": key, "task": "t", "policy": {"retry": {**retry, field: 1e308}}}
    body = {"apiVersion": "apprun.dev/v1alpha1", "kind": "AppTask", "metadata": {"name": f"r-{key[:16]}"}, "spec": spec}
    with pytest.raises(ApiError, match=f"{field}.*less than or equal to"):
        runs.kube.create(f"{runs.api}/apptasks", body)
