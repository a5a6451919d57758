"""The checks of `apprun doctor`, one function each. They read, and try requests that must be refused.

Nothing here changes the cluster but `probe`, which starts one pod and deletes it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
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
    ("deploy", "create", "", "pods"),
    ("submit", "create", names.GROUP, names.APP_RUNS),
    ("cancel, suspend, resume", "patch", names.GROUP, names.APP_RUNS),
)
AUTHOR_RULES: Final = {
    "createPods": ("resource('pods')", "whoever may write Apps runs code in the namespace, without the right to pods"),
    "useServiceAccounts": ("check('use')", "whoever may write Apps runs code as any service account of the namespace"),
}
"""By value of the chart: what the expression of its rule contains, and what holds without it."""
_APPS_GROUP: Final = "/apis/apps/v1"
_ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The result of one check, and the remedy for a warning or an error."""

    topic: str
    grade: Grade
    message: str
    remedy: str = ""


def check_all(api: Api, version: str) -> Iterator[CheckResult]:
    """Every look that changes nothing, in an order in which the first thing that is wrong explains the rest."""
    checks: tuple[Callable[[], Iterator[CheckResult]], ...] = (
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
            yield CheckResult(_topic(error), "skipped", f"you may not see this: {short(error)}")


def check_server(api: Api) -> Iterator[CheckResult]:
    """Raises NoClusterError when there is no answer at all."""
    version = api.get("/version")
    text = str(version.get("gitVersion") or "?")
    numbers = [int(part) for part in re.findall(r"\d+", f"{version.get('major')}.{version.get('minor')}")[:2]]
    if len(numbers) == 2 and tuple(numbers) < OLDEST:
        yield CheckResult(
            "Kubernetes",
            "error",
            f"{api.access.server} is {text}",
            f"AppRun needs {'.'.join(map(str, OLDEST))} or newer: its admission policies do the fencing. Upgrade the"
            " cluster",
        )
    else:
        yield CheckResult("Kubernetes", "ok", f"{api.access.server} is {text} (context {api.access.context})")


def check_clock(api: Api, now: float) -> Iterator[CheckResult]:
    """The server's clock against ours: durations that are shown rest on both."""
    try:
        skew = parsedate_to_datetime(api.date).timestamp() - now
    except (TypeError, ValueError):
        yield CheckResult("clock", "skipped", "the API server doesn't say what time it is")
        return
    # The header is cut to seconds.
    if -SKEW_SECONDS - 1 <= skew <= SKEW_SECONDS:
        yield CheckResult("clock", "ok", "the API server's clock and this machine's agree")
        return
    ahead = "ahead of" if skew > 0 else "behind"
    yield CheckResult(
        "clock",
        "warning",
        f"the API server's clock is {abs(skew):.0f} s {ahead} this machine's",
        "Shown durations are wrong by so much, and tokens may be refused. Set the clock (NTP) where it is wrong",
    )


def check_definitions(api: Api) -> Iterator[CheckResult]:
    """The four kinds, served in this version."""
    try:
        resources = api.raw("GET", f"/apis/{names.API_VERSION}")
    except Unreachable as error:
        yield CheckResult("CRDs", "error", f"the API server doesn't answer: {error}")
        return
    except ApiRefusal as refusal:
        if refusal.status != 404:
            raise explained(api.access, refusal, "") from refusal
        yield CheckResult(
            "CRDs",
            "error",
            f"the cluster serves no {names.API_VERSION}",
            "Install the chart: helm install apprun charts/apprun -n apprun-system --create-namespace",
        )
        return
    served = {str(resource.get("name")) for resource in resources.get("resources") or []}
    missing = [kind for kind in KINDS if kind not in served]
    if missing:
        yield CheckResult(
            "CRDs",
            "error",
            f"the cluster doesn't serve {', '.join(f'{kind}.{names.GROUP}' for kind in missing)}",
            "The chart's CRDs are there in part only: helm upgrade with crds.enabled=true",
        )
    else:
        yield CheckResult("CRDs", "ok", f"{names.API_VERSION}: {', '.join(KINDS)}")


def check_operator(api: Api, version: str) -> Iterator[CheckResult]:
    """Installed once, ready, of this version, and led by somebody."""
    deployments = api.items(f"{_APPS_GROUP}/deployments", OPERATOR)
    if not deployments:
        yield CheckResult("operator", "error", "there is no operator", "Install the chart: without it no run starts")
        return
    names = [f"{deployment['metadata']['namespace']}/{deployment['metadata']['name']}" for deployment in deployments]
    if len(deployments) > 1 and _overlap(deployments):
        yield CheckResult(
            "operator",
            "error",
            f"there are {len(deployments)} operators: {', '.join(names)}",
            "Two that serve the same namespaces work against one another. Uninstall one of them, or give each its own"
            " list of namespaces",
        )
    for deployment, name in zip(deployments, names, strict=True):
        yield _ready(deployment, name)
        yield _same_version(deployment, version)
        yield from _leader(api, deployment)


def check_policies(api: Api) -> Iterator[CheckResult]:
    """The admission policies that hold pods to their own task: there, bound, denying, and without errors of type."""
    policies = {
        policy["metadata"]["name"]: policy for policy in _ours(api, f"{_ADMISSION}/validatingadmissionpolicies")
    }
    bindings = _ours(api, f"{_ADMISSION}/validatingadmissionpolicybindings")
    denying = {
        policy["spec"]["policyName"] for policy in bindings if "Deny" in (policy["spec"].get("validationActions") or [])
    }
    remedy = "Put them back with helm upgrade: without them a lost node's task could report twice"
    if not policies:
        yield CheckResult("policies", "error", "there are no admission policies of AppRun", remedy)
        return
    unbound = sorted(policies.keys() - denying)
    if unbound:
        yield CheckResult("policies", "error", f"nothing enforces {', '.join(unbound)}", remedy)
    typed = sorted(name for name, policy in policies.items() if _type_warnings(policy))
    if typed:
        first = _type_warnings(policies[typed[0]])[0]
        yield CheckResult(
            "policies", "warning", f"{', '.join(typed)}: the API server finds fault with them: {first}", remedy
        )
    if not (unbound or typed):
        yield CheckResult("policies", "ok", f"{len(policies)} admission policies, all of them enforced")
    yield from _author_rules(policies.values())


def _author_rules(policies: Iterable[Object]) -> Iterator[CheckResult]:
    """The rules about authors of Apps, which values of the chart turn off."""
    expressions = "\n".join(
        str(validation.get("expression") or "")
        for policy in policies
        for validation in policy["spec"].get("validations") or []
    )
    off = {value: words for value, (expression, words) in AUTHOR_RULES.items() if expression not in expressions}
    for value, words in off.items():
        yield CheckResult("authors", "warning", words, f"helm upgrade with admissionPolicy.authors.{value}=true")
    if not off:
        yield CheckResult("authors", "ok", "authors of Apps need the rights that pods and service accounts need")


def check_fence(api: Api) -> Iterator[CheckResult]:
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
        yield CheckResult("fence", "skipped", f"couldn't be tried: {error}")
    except ApiRefusal as refusal:
        if "ValidatingAdmissionPolicy" in refusal.text or "apprun:" in refusal.text:
            yield CheckResult("fence", "ok", "a task that no driver made is refused")
        elif refusal.status == 403:
            yield CheckResult("fence", "skipped", "you may not create AppTasks (nobody needs to), so it can't be tried")
        else:
            yield CheckResult("fence", "skipped", f"couldn't be tried: {refusal.text}")
    else:
        yield CheckResult(
            "fence",
            "error",
            "the API server would take a task that no driver made",
            "The admission policies aren't in force: see `policies`, or wait a minute after an upgrade",
        )


def check_rights(api: Api) -> Iterator[CheckResult]:
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
    scope = f"in namespace {api.access.namespace}"
    if not refused:
        yield CheckResult("your rights", "ok", f"enough for every verb of apprun {scope}")
    for verbs, missing in refused.items():
        yield CheckResult(
            "your rights",
            "warning",
            f"too few {scope} for {verbs}: {', '.join(missing)}",
            f"kubectl create rolebinding apprun-YOU -n {api.access.namespace} --clusterrole=edit --user=YOU",
        )


def runtime_image(api: Api) -> str:
    """The operator's image for apps that name none; empty when it can't be found out."""
    for deployment in api.items(f"{_APPS_GROUP}/deployments", OPERATOR):
        for variable in _container(deployment).get("env") or []:
            if variable.get("name") == "APPRUN_RUNTIME_IMAGE":
                return str(variable.get("value") or "")
    return ""


def _ours(api: Api, path: str) -> list[Object]:
    return api.items(path, PART_OF)


def _overlap(deployments: list[Object]) -> bool:
    """Whether two of them serve the same namespaces: those without a list of their own serve all."""
    lists = []
    for deployment in deployments:
        env = {str(v.get("name")): str(v.get("value") or "") for v in _container(deployment).get("env") or []}
        lists.append({part.strip() for part in env.get("APPRUN_NAMESPACES", "").split(",") if part.strip()})
    return any(
        not first or not second or first & second for index, first in enumerate(lists) for second in lists[index + 1 :]
    )


def _ready(deployment: Object, name: str) -> CheckResult:
    status, replicas = deployment.get("status") or {}, (deployment.get("spec") or {}).get("replicas", 1)
    ready = status.get("readyReplicas") or 0
    if ready:
        grade: Grade = "ok" if ready >= replicas else "warning"
        remedy = "" if ready >= replicas else f"kubectl -n {name.partition('/')[0]} get pods"
        return CheckResult("operator", grade, f"{name}: {ready} of {replicas} ready", remedy)
    namespace = name.partition("/")[0]
    return CheckResult(
        "operator",
        "error",
        f"{name}: none of {replicas} is ready",
        f"kubectl -n {namespace} describe pods; kubectl -n {namespace} logs deployment/{name.partition('/')[2]}",
    )


def _same_version(deployment: Object, version: str) -> CheckResult:
    installed = str((deployment["metadata"].get("labels") or {}).get("app.kubernetes.io/version") or "?")
    if installed.lstrip("v") == version:
        return CheckResult("versions", "ok", f"operator and apprun are both {version}")
    return CheckResult(
        "versions",
        "warning",
        f"the operator is {installed}, this apprun {version}",
        f"Use the same: install the wheel or clone of {installed.lstrip('v')}, or helm upgrade",
    )


def _leader(api: Api, deployment: Object) -> Iterator[CheckResult]:
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
        yield CheckResult("leader", "error", "no operator leads", f"kubectl -n {namespace} logs deployment/{name}")
    elif time.time() - renewed > LEASE_SECONDS:
        yield CheckResult(
            "leader",
            "error",
            f"{holder} led last, {time.time() - renewed:.0f} s ago",
            f"kubectl -n {namespace} logs deployment/{name}: nobody does anything for runs",
        )
    else:
        yield CheckResult("leader", "ok", f"{holder} leads")


def _container(deployment: Object) -> Mapping[str, Any]:
    pod = ((deployment.get("spec") or {}).get("template") or {}).get("spec") or {}
    containers = pod.get("containers") or [{}]
    container: Mapping[str, Any] = containers[0]
    return container


def _type_warnings(policy: Object) -> list[str]:
    checked = ((policy.get("status") or {}).get("typeChecking") or {}).get("expressionWarnings") or []
    return [str(expression.get("warning") or "").strip().partition("\n")[0] for expression in checked]


def _topic(error: ClusterError) -> str:
    text = str(error)
    for word, topic in (("deployments", "operator"), ("validatingadmission", "policies")):
        if word in text:
            return topic
    return "rights"


def short(error: ClusterError) -> str:
    """What was refused, without what to do about it."""
    return str(error).partition(". ")[0].removeprefix("not allowed: ")
