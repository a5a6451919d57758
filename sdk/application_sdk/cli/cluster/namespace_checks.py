"""What `apprun doctor` looks at in a namespace: whether the pods of runs there may do what they have to.

Service accounts, their bindings, and whether a NetworkPolicy keeps pods from the API server. It only reads.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from application_sdk.cli.cluster.api import Api, Object
from application_sdk.cli.cluster.checks import CheckResult, short
from application_sdk.cli.cluster.errors import NotAllowedError
from application_sdk.wire import names
from application_sdk.wire.fields import TERMINAL_RUN_PHASES

_RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
_POLICIES: Final = "/apis/networking.k8s.io/v1"
_SLICES: Final = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
_ACCOUNTS: Final = (names.DRIVER_SERVICE_ACCOUNT, names.TASK_SERVICE_ACCOUNT)
_POD_LABELS: Final = {names.MANAGED_BY_LABEL: names.MANAGED_BY}
_ROLES: Final = ("driver", "task", names.WORKER_CONTAINER)


def check_namespace(api: Api) -> Iterator[CheckResult]:
    """Every look at the person's namespace."""
    checks: dict[str, Callable[[Api], Iterator[CheckResult]]] = {
        "accounts": check_accounts,
        "bindings": check_bindings,
        "egress": check_egress,
    }
    for topic, check in checks.items():
        try:
            yield from check(api)
        except NotAllowedError as error:
            yield CheckResult(topic, "skipped", f"can't tell, since you may not see it: {short(error)}")


def check_accounts(api: Api) -> Iterator[CheckResult]:
    """The two service accounts, which each pod of a run needs."""
    namespace = api.access.namespace
    missing = [name for name in _ACCOUNTS if api.find(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}") is None]
    if not missing:
        yield CheckResult("accounts", "ok", f"service accounts {' and '.join(_ACCOUNTS)} are in namespace {namespace}")
    elif not _has_open_runs(api):
        yield CheckResult(
            "accounts", "ok", f"no run is at work in namespace {namespace}: they are made for the first one"
        )
    else:
        yield CheckResult(
            "accounts",
            "error",
            f"service account {' and '.join(missing)} is missing in namespace {namespace}: no pod can start",
            "The operator makes them again within a minute. If they are still missing then, its log says why; with the"
            " chart's `namespaces` set, helm upgrade makes them. Have whatever deleted them leave them alone",
        )


def check_bindings(api: Api) -> Iterator[CheckResult]:
    """The two RoleBindings, without which the API server answers pods with 403."""
    namespace = api.access.namespace
    bindings = {name: api.find(f"{_RBAC}/namespaces/{namespace}/rolebindings/{name}") for name in _ACCOUNTS}
    missing = [name for name, binding in bindings.items() if binding is None]
    if missing and not _has_open_runs(api):
        yield CheckResult(
            "bindings", "ok", f"no run is at work in namespace {namespace}: they are made for the first one"
        )
        return
    wrong = False
    if missing:
        wrong = True
        yield CheckResult(
            "bindings",
            "error",
            f"RoleBinding {' and '.join(missing)} is missing in namespace {namespace}: the API server answers pods with"
            " 403",
            "The operator makes them again within a minute. If they are still missing then, its log says why. Have"
            " whatever pruned them (a GitOps tool, a clean-up) leave alone what is labelled"
            f" {names.MANAGED_BY_LABEL}={names.MANAGED_BY}",
        )
    for name, binding in bindings.items():
        fault = "" if binding is None else _altered(binding, name, namespace)
        if fault:
            wrong = True
            yield CheckResult(
                "bindings",
                "error",
                f"RoleBinding {name} in namespace {namespace} was altered: {fault}",
                f"The operator alters none. kubectl -n {namespace} delete rolebinding {name}, and it makes it again",
            )
    if not wrong:
        yield CheckResult("bindings", "ok", f"RoleBindings {' and '.join(_ACCOUNTS)} are what the operator makes")


def _altered(binding: Object, name: str, namespace: str) -> str:
    role = binding.get("roleRef") or {}
    if (role.get("kind"), role.get("name")) != ("ClusterRole", name):
        return f"it binds {role.get('kind')} {role.get('name')}, not ClusterRole {name}"
    everybody = {"system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"}
    for subject in binding.get("subjects") or []:
        if subject.get("kind") == "Group" and subject.get("name") in everybody:
            return ""
        own = (subject.get("kind"), subject.get("name"), subject.get("namespace"))
        if name == names.DRIVER_SERVICE_ACCOUNT and own == ("ServiceAccount", name, namespace):
            return ""
    return "the service accounts of the pods are not among its subjects"


def _has_open_runs(api: Api) -> bool:
    runs = api.items(api.path(names.APP_RUNS))
    return any((run.get("status") or {}).get("phase") not in TERMINAL_RUN_PHASES for run in runs)


def check_egress(api: Api) -> Iterator[CheckResult]:
    """Whether the NetworkPolicies of the namespace let the pods of runs reach the API server."""
    namespace = api.access.namespace
    policies = api.items(f"{_POLICIES}/namespaces/{namespace}/networkpolicies")
    holding = [policy for policy in policies if _holds_egress(policy)]
    if not holding:
        no_policy = f"no NetworkPolicy of namespace {namespace} limits the egress of its runs' pods"
        yield CheckResult("egress", "ok", f"{no_policy}; policies of Cilium, Calico or a mesh are not checked")
        return
    listed = ", ".join(sorted(policy["metadata"]["name"] for policy in holding))
    servers = _servers(api)
    remedy = "Allow egress to the API server, by TCP, as docs/install.md shows under `What pods must reach`"
    if not servers:
        yield CheckResult(
            "egress", "skipped", f"can't tell whether {listed} lets pods reach the API server: where is it?"
        )
        return
    rules = [rule for policy in holding for rule in (policy["spec"].get("egress") or [])]
    verdicts = {_allows(rule, address, port) for rule in rules for address, port in servers}
    where = ", ".join(f"{address}:{port}" for address, port in servers)
    if True in verdicts:
        yield CheckResult("egress", "ok", f"{listed}: pods may reach the API server at {where}")
    elif None in verdicts:
        yield CheckResult(
            "egress",
            "skipped",
            f"can't tell whether {listed} lets pods reach the API server at {where}: a rule names pods, namespaces,"
            " port 443 or a port by name, and what that means for the API server is the network plugin's business",
        )
    else:
        yield CheckResult("egress", "error", f"{listed} keeps the pods of runs from the API server at {where}", remedy)


def _holds_egress(policy: Object) -> bool:
    """Whether a policy selects pods of runs, and has to do with their egress."""
    spec = policy.get("spec") or {}
    types = spec.get("policyTypes") or (["Egress"] if spec.get("egress") else [])
    if "Egress" not in types:
        return False
    selector = spec.get("podSelector") or {}
    return any(_selects(selector, {**_POD_LABELS, names.ROLE_LABEL: role}) for role in _ROLES)


def _selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a selector takes a pod of a run. What depends on labels that differ from run to run may take one."""
    varying = {
        names.RUN_LABEL,
        names.KEY_LABEL,
        names.TASK_LABEL,
        names.ATTEMPT_LABEL,
        names.POOL_LABEL,
        names.APP_LABEL,
    }
    for name, value in (selector.get("matchLabels") or {}).items():
        if name not in varying and labels.get(name) != value:
            return False
    for rule in selector.get("matchExpressions") or []:
        name, values, operator = rule.get("key"), rule.get("values") or [], rule.get("operator")
        if name in varying:
            continue
        exists = name in labels
        fits = {
            "In": exists and labels.get(name) in values,
            "NotIn": not exists or labels.get(name) not in values,
            "Exists": exists,
            "DoesNotExist": not exists,
        }.get(str(operator), True)
        if not fits:
            return False
    return True


def _servers(api: Api) -> Sequence[tuple[str, int]]:
    """Addresses of the API server itself: plugins judge a connection by where it leads, not by the Service's own."""
    servers = []
    for piece in api.items(_SLICES, "kubernetes.io/service-name=kubernetes"):
        ports = [int(port["port"]) for port in piece.get("ports") or [] if port.get("port")]
        for endpoint in piece.get("endpoints") or []:
            servers += [(str(address), port) for address in endpoint.get("addresses") or [] for port in ports]
    return sorted(set(servers))


def _allows(rule: Mapping[str, Any], address: str, port: int) -> bool | None:
    """Whether an egress rule lets a connection through; None when that can't be told from here."""
    fits_port = _fits_port(rule.get("ports") or [], port)
    fits_peer = _fits_peer(rule.get("to") or [], address)
    if False in (fits_port, fits_peer):
        return False
    return None if None in (fits_port, fits_peer) else True


def _fits_port(ports: Sequence[Mapping[str, Any]], port: int) -> bool | None:
    if not ports:
        return True
    unknown = False
    for rule in ports:
        first = rule.get("port")
        if (rule.get("protocol") or "TCP") != "TCP":
            continue
        if first is None or (isinstance(first, int) and first <= port <= int(rule.get("endPort") or first)):
            return True
        # A named port; or 443, the Service's, which some plugins take for the server's own.
        unknown = unknown or isinstance(first, str) or first == 443
    return None if unknown else False


def _fits_peer(peers: Sequence[Mapping[str, Any]], address: str) -> bool | None:
    if not peers:
        return True
    unknown = False
    for peer in peers:
        block = peer.get("ipBlock")
        if not isinstance(block, dict):
            unknown = True
            continue
        ip = ipaddress.ip_address(address)
        try:
            inside = ip in ipaddress.ip_network(str(block.get("cidr")), strict=False)
            outside = any(
                ip in ipaddress.ip_network(str(excepted), strict=False) for excepted in block.get("except") or []
            )
        except ValueError:
            unknown = True
            continue
        if inside and not outside:
            return True
    return None if unknown else False
