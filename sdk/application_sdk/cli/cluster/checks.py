"""What `apprun doctor` looks at: one function per question. Reads, and tries what must be refused.

Nothing here changes the cluster but `probing`, which starts one pod and deletes it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, TypeAlias

from application_sdk.cli.cluster.api import Api, ApiRefusal, Object, explained
from application_sdk.cli.cluster.errors import ClusterError, NotAllowedError
from application_sdk.cli.cluster.parse import seconds
from application_sdk.engines.kubernetes.errors import Unreachable
from application_sdk.wire import names
from application_sdk.wire.digest import digest

Grade: TypeAlias = Literal["ok", "warning", "error", "skipped"]

OLDEST: Final = (1, 30)
SKEW_SECONDS: Final = 5.0
LEASE_SECONDS: Final = 60.0
PART_OF: Final = "app.kubernetes.io/part-of=apprun"
OPERATOR: Final = f"{PART_OF},app.kubernetes.io/component=operator"
KINDS: Final = (names.APPS, names.APP_RUNS, names.APP_TASKS, names.APP_LEDGERS)
RIGHTS: Final = (
    ("list, show, watch, describe", "get", names.GROUP, names.APP_RUNS),
    ("list, show, watch, describe", "list", names.GROUP, names.APP_TASKS),
    ("show, export", "get", names.GROUP, names.APP_LEDGERS),
    ("logs", "get", "", "pods/log"),
    ("deploy", "patch", names.GROUP, names.APPS),
    ("deploy", "patch", "", "configmaps"),
    ("submit", "create", names.GROUP, names.APP_RUNS),
    ("cancel, suspend, resume", "patch", names.GROUP, names.APP_RUNS),
)
_APPS_GROUP: Final = "/apis/apps/v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class Answer:
    """What one look has found, and what to do where it isn't right."""

    topic: str
    grade: Grade
    said: str
    remedy: str = ""


def check_all(api: Api, version: str) -> Iterator[Answer]:
    """Every look that changes nothing, in an order in which the first thing that is wrong explains the rest."""
    checks: tuple[Callable[[], Iterator[Answer]], ...] = (
        lambda: check_server(api),
        lambda: check_clock(api, time.time()),
        lambda: check_definitions(api),
        lambda: check_operator(api, version),
        lambda: check_policies(api),
        lambda: check_fence(api),
        lambda: check_rights(api),
    )
    for check in checks:
        try:
            yield from check()
        except NotAllowedError as error:
            yield Answer(_topic(error), "skipped", f"you may not see this: {short(error)}")


def check_server(api: Api) -> Iterator[Answer]:
    """Raises NoClusterError when there is no answer at all."""
    found = api.get("/version")
    text = str(found.get("gitVersion") or "?")
    numbers = [int(part) for part in re.findall(r"\d+", f"{found.get('major')}.{found.get('minor')}")[:2]]
    if len(numbers) == 2 and tuple(numbers) < OLDEST:
        yield Answer(
            "Kubernetes",
            "error",
            f"{api.access.server} is {text}",
            f"AppRun needs {'.'.join(map(str, OLDEST))} or newer: its admission policies do the fencing. Upgrade the"
            " cluster",
        )
    else:
        yield Answer("Kubernetes", "ok", f"{api.access.server} is {text} (context {api.access.context})")


def check_clock(api: Api, now: float) -> Iterator[Answer]:
    """The server's clock against ours: durations that are shown rest on both."""
    try:
        skew = parsedate_to_datetime(api.date).timestamp() - now
    except (TypeError, ValueError):
        yield Answer("clock", "skipped", "the API server doesn't say what time it is")
        return
    # The header is cut to seconds.
    if -SKEW_SECONDS - 1 <= skew <= SKEW_SECONDS:
        yield Answer("clock", "ok", "the API server's clock and this machine's agree")
        return
    ahead = "ahead of" if skew > 0 else "behind"
    yield Answer(
        "clock",
        "warning",
        f"the API server's clock is {abs(skew):.0f} s {ahead} this machine's",
        "Shown durations are wrong by so much, and tokens may be refused. Set the clock (NTP) where it is wrong",
    )


def check_definitions(api: Api) -> Iterator[Answer]:
    """The four kinds, served in this version."""
    try:
        found = api.raw("GET", f"/apis/{names.API_VERSION}")
    except Unreachable as error:
        yield Answer("CRDs", "error", f"the API server doesn't answer: {error}")
        return
    except ApiRefusal as refusal:
        if refusal.status != 404:
            raise explained(api.access, refusal, "") from refusal
        yield Answer(
            "CRDs",
            "error",
            f"the cluster serves no {names.API_VERSION}",
            "Install the chart: helm install apprun charts/apprun -n apprun-system --create-namespace",
        )
        return
    served = {str(one.get("name")) for one in found.get("resources") or []}
    missing = [kind for kind in KINDS if kind not in served]
    if missing:
        yield Answer(
            "CRDs",
            "error",
            f"the cluster doesn't serve {', '.join(f'{kind}.{names.GROUP}' for kind in missing)}",
            "The chart's CRDs are there in part only: helm upgrade with crds.enabled=true",
        )
    else:
        yield Answer("CRDs", "ok", f"{names.API_VERSION}: {', '.join(KINDS)}")


def check_operator(api: Api, version: str) -> Iterator[Answer]:
    """Installed once, ready, of this version, and led by somebody."""
    found = api.items(f"{_APPS_GROUP}/deployments", OPERATOR)
    if not found:
        yield Answer("operator", "error", "there is no operator", "Install the chart: without it no run starts")
        return
    places = [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in found]
    if len(found) > 1 and _overlap(found):
        yield Answer(
            "operator",
            "error",
            f"there are {len(found)} operators: {', '.join(places)}",
            "Two that serve the same namespaces work against one another. Uninstall one of them, or give each its own"
            " list of namespaces",
        )
    for one, place in zip(found, places, strict=True):
        yield _ready(one, place)
        yield _same_version(one, version)
        yield from _leader(api, one)


def check_policies(api: Api) -> Iterator[Answer]:
    """The admission policies that hold pods to their own task: there, bound, denying, and without errors of type."""
    policies = {one["metadata"]["name"]: one for one in _ours(api, f"{_ADMISSION}/validatingadmissionpolicies")}
    bindings = _ours(api, f"{_ADMISSION}/validatingadmissionpolicybindings")
    denying = {one["spec"]["policyName"] for one in bindings if "Deny" in (one["spec"].get("validationActions") or [])}
    remedy = "Put them back with helm upgrade: without them a lost node's task could report twice"
    if not policies:
        yield Answer("policies", "error", "there are no admission policies of AppRun", remedy)
        return
    unbound = sorted(policies.keys() - denying)
    if unbound:
        yield Answer("policies", "error", f"nothing enforces {', '.join(unbound)}", remedy)
    typed = sorted(name for name, one in policies.items() if _type_warnings(one))
    if typed:
        first = _type_warnings(policies[typed[0]])[0]
        yield Answer(
            "policies", "warning", f"{', '.join(typed)}: the API server finds fault with them: {first}", remedy
        )
    if not (unbound or typed):
        yield Answer("policies", "ok", f"{len(policies)} admission policies, all of them enforced")


def check_fence(api: Api) -> Iterator[Answer]:
    """Tries, as a dry run, what nobody but a driver may do."""
    run = "apprun-doctor"
    key = digest(["apprun doctor"])
    task: Object = {
        "apiVersion": names.API_VERSION,
        "kind": names.APP_TASK_KIND,
        "metadata": {"name": names.task_name(run, key)},
        "spec": {"run": run, "role": "task", "key": key, "task": "probe"},
    }
    try:
        api.raw("POST", api.path(names.APP_TASKS), {"dryRun": "All"}, task)
    except Unreachable as error:
        yield Answer("fence", "skipped", f"couldn't be tried: {error}")
    except ApiRefusal as refusal:
        if "ValidatingAdmissionPolicy" in refusal.text or "apprun:" in refusal.text:
            yield Answer("fence", "ok", "a task that no driver made is refused")
        elif refusal.status == 403:
            yield Answer("fence", "skipped", "you may not create AppTasks (nobody needs to), so it can't be tried")
        else:
            yield Answer("fence", "skipped", f"couldn't be tried: {refusal.text}")
    else:
        yield Answer(
            "fence",
            "error",
            "the API server would take a task that no driver made",
            "The admission policies aren't in force: see `policies`, or wait a minute after an upgrade",
        )


def check_rights(api: Api) -> Iterator[Answer]:
    """What the person may do in the namespace, by verb of apprun."""
    refused: dict[str, list[str]] = {}
    for verbs, verb, group, resource in RIGHTS:
        kind, _, sub = resource.partition("/")
        attributes = {
            "namespace": api.access.namespace,
            "verb": verb,
            "group": group,
            "resource": kind,
            "subresource": sub,
        }
        body: Object = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = api.create("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body)
        if not (answer.get("status") or {}).get("allowed"):
            refused.setdefault(verbs, []).append(f"{verb} {resource}")
    where = f"in namespace {api.access.namespace}"
    if not refused:
        yield Answer("your rights", "ok", f"enough for every verb of apprun {where}")
    for verbs, missing in refused.items():
        yield Answer(
            "your rights",
            "warning",
            f"too few {where} for {verbs}: {', '.join(missing)}",
            f"kubectl create rolebinding apprun-YOU -n {api.access.namespace} --clusterrole=edit --user=YOU",
        )


def runtime_image(api: Api) -> str:
    """The operator's image for apps that name none; empty when it can't be found out."""
    for one in api.items(f"{_APPS_GROUP}/deployments", OPERATOR):
        for variable in _container(one).get("env") or []:
            if variable.get("name") == "APPRUN_RUNTIME_IMAGE":
                return str(variable.get("value") or "")
    return ""


def _ours(api: Api, path: str) -> list[Object]:
    return api.items(path, PART_OF)


def _overlap(deployments: list[Object]) -> bool:
    """Whether two of them serve the same namespaces: those without a list of their own serve all."""
    lists = []
    for one in deployments:
        env = {str(v.get("name")): str(v.get("value") or "") for v in _container(one).get("env") or []}
        lists.append({part.strip() for part in env.get("APPRUN_NAMESPACES", "").split(",") if part.strip()})
    return any(
        not first or not second or first & second for place, first in enumerate(lists) for second in lists[place + 1 :]
    )


def _ready(deployment: Object, place: str) -> Answer:
    status, wanted = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    ready = status.get("readyReplicas") or 0
    if ready:
        grade: Grade = "ok" if ready >= wanted else "warning"
        remedy = "" if ready >= wanted else f"kubectl -n {place.partition('/')[0]} get pods"
        return Answer("operator", grade, f"{place}: {ready} of {wanted} ready", remedy)
    namespace = place.partition("/")[0]
    return Answer(
        "operator",
        "error",
        f"{place}: none of {wanted} is ready",
        f"kubectl -n {namespace} describe pods; kubectl -n {namespace} logs deployment/{place.partition('/')[2]}",
    )


def _same_version(deployment: Object, version: str) -> Answer:
    found = str((deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/version") or "?")
    if found.lstrip("v") == version:
        return Answer("versions", "ok", f"operator and apprun are both {version}")
    return Answer(
        "versions",
        "warning",
        f"the operator is {found}, this apprun {version}",
        f"Use the same: install the wheel or clone of {found.lstrip('v')}, or helm upgrade",
    )


def _leader(api: Api, deployment: Object) -> Iterator[Answer]:
    env = {str(v.get("name")): str(v.get("value") or "") for v in _container(deployment).get("env") or []}
    namespace, _, name = env.get("APPRUN_LEASE", "").partition("/")
    if not name:
        return
    try:
        lease = api.find(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}")
    except NotAllowedError:
        return
    renewed = seconds(((lease or {}).get("spec") or {}).get("renewTime"))
    holder = str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")
    if renewed is None or not holder:
        yield Answer("leader", "error", "no operator leads", f"kubectl -n {namespace} logs deployment/{name}")
    elif time.time() - renewed > LEASE_SECONDS:
        yield Answer(
            "leader",
            "error",
            f"{holder} led last, {time.time() - renewed:.0f} s ago",
            f"kubectl -n {namespace} logs deployment/{name}: nobody does anything for runs",
        )
    else:
        yield Answer("leader", "ok", f"{holder} leads")


def _container(deployment: Object) -> Mapping[str, Any]:
    pod = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = pod.get("containers") or [{}]
    found: Mapping[str, Any] = containers[0]
    return found


def _type_warnings(policy: Object) -> list[str]:
    checked = ((policy.get("status") or {}).get("typeChecking") or {}).get("expressionWarnings") or []
    return [str(one.get("warning") or "").strip().partition("\n")[0] for one in checked]


def _topic(error: ClusterError) -> str:
    text = str(error)
    for word, topic in (("deployments", "operator"), ("validatingadmission", "policies")):
        if word in text:
            return topic
    return "rights"


def short(error: ClusterError) -> str:
    """What was refused, without what to do about it."""
    return str(error).partition(". ")[0].removeprefix("not allowed: ")
