"""Attempts of drivers, handlers, other pods and people to read, make, change or delete what isn't theirs."""

from __future__ import annotations

from typing import Any

from tests.cluster.attack_lines import (
    ANONYMOUS,
    LEDGER,
    MERGE,
    NOT_OWNED,
    NOT_THE_DRIVER,
    PROTECTED,
    REPORT,
    STATUS,
    UNTOUCHABLE,
    Attack,
    apply,
    cannot,
    may,
    merge,
    operations,
)

API = "apprun.dev/v1alpha1"
TOKEN = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
POD = {"metadata": {"name": "{peer-pod}-x"}, "spec": {"containers": [{"name": "main", "image": "none"}]}}
NAMED = {"metadata": {"name": "mine-too"}}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
BINDING = {**NAMED, "roleRef": ROLE_REF, "subjects": [{"kind": "User", "apiGroup": ROLE_REF["apiGroup"], "name": "me"}]}
RUN = {"apiVersion": API, "kind": "AppRun", **NAMED, "spec": {"app": {"entry": "app:Hello"}, "suspend": True}}
RUN_OF_SHOP = RUN | {"spec": {"appRef": {"name": "shop"}, "suspend": True}}
APP = {"apiVersion": API, "kind": "App", **NAMED, "spec": {"entry": "app:Hello"}}

WHAT_NO_POD_MAY: list[tuple[str, str, Any]] = [
    ("GET", "core:secrets", None),
    ("GET", "core:secrets/login", None),
    ("POST", "core:secrets", {**NAMED, "stringData": {"a": "b"}}),
    ("PATCH", "core:secrets/login", {"stringData": {"p": "other"}}),
    ("GET", "core:configmaps", None),
    ("PATCH", "core:configmaps/settings", {"data": {"a": "c"}}),
    ("GET", "core:pods", None),
    ("POST", "core:pods", POD),
    ("DELETE", "core:pods/{peer-pod}", None),
    ("PATCH", "core:pods/{my-pod}", {"metadata": {"annotations": {"a": "b"}}}),
    ("PATCH", "core:pods/{my-pod}/status", {"status": {"phase": "Failed"}}),
    ("GET", "core:pods/{peer-pod}/log", None),
    ("POST", "core:pods/{peer-pod}/exec?command=id&stdout=1", None),
    ("GET", "core:pods/{peer-pod}/exec?command=id&stdout=1", None),
    ("POST", "core:pods/{peer-pod}/attach", None),
    ("POST", "core:pods/{peer-pod}/portforward", None),
    ("POST", "core:pods/{peer-pod}/binding", {"target": {"name": "node1"}}),
    ("POST", "core:pods/{peer-pod}/eviction", {"metadata": {"name": "{peer-pod}"}}),
    ("PATCH", "core:pods/{peer-pod}/ephemeralcontainers", {"spec": {"ephemeralContainers": []}}),
    ("GET", "core:pods/{peer-pod}/proxy/", None),
    ("GET", "core:serviceaccounts", None),
    ("POST", "core:serviceaccounts", NAMED),
    ("POST", "core:serviceaccounts/apprun-task/token", TOKEN),
    ("POST", "core:serviceaccounts/apprun-driver/token", TOKEN),
    ("POST", "/api/v1/namespaces/{system}/serviceaccounts/{operator-account}/token", TOKEN),
    ("POST", "core:events", {**NAMED, "involvedObject": {}}),
    ("POST", "/apis/events.k8s.io/v1/namespaces/{ns}/events", NAMED),
    ("PATCH", "/apis/coordination.k8s.io/v1/namespaces/{system}/leases/apprun", {"spec": {"holderIdentity": "me"}}),
    ("DELETE", "/apis/coordination.k8s.io/v1/namespaces/{system}/leases/apprun", None),
    ("POST", "rbac:rolebindings", BINDING),
    ("POST", "rbac:roles", NAMED),
    ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", BINDING),
    ("PATCH", "/apis/rbac.authorization.k8s.io/v1/clusterroles/apprun-task", {"rules": []}),
    ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies/apprun-task-reports", None),
    ("DELETE", "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings/apprun-task-reports", None),
    ("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/apptasks.apprun.dev", {"metadata": {}}),
    ("DELETE", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/appruns.apprun.dev", None),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests", NAMED),
    ("DELETE", "/api/v1/namespaces/{ns}", None),
    ("PUT", "/api/v1/namespaces/{ns}/finalize", NAMED),
    ("GET", "/api/v1/nodes/node1/proxy/pods", None),
    ("PATCH", "/api/v1/nodes/node1", {"spec": {"unschedulable": True}}),
    ("GET", "core:services", None),
    ("POST", "apps:deployments", NAMED),
    ("GET", "appstates/shop", None),
    ("PATCH", "appstates/shop", {"spec": {"entries": {}}}),
    ("POST", "appledgers", NAMED),
    ("PATCH", "appledgers/idle-0", {"spec": {"number": 1}}),
    ("DELETE", "appledgers/idle-0", None),
    ("PATCH", "appruns/idle/status", {"status": {"phase": "Succeeded"}}),
    ("PATCH", "apps/shop/status", {"status": {"conditions": []}}),
    ("DELETE", "appruns/idle", None),
    ("PATCH", "apps/shop", {"spec": {"image": "mine"}}),
    ("POST", "apps", APP),
    ("DELETE", "apptasks/{done}", None),
    ("PATCH", "apptasks/{peer}", {"metadata": {"finalizers": ["apprun.dev/hang"]}}),
    ("GET", "other:apptasks", None),
    ("GET", "other:appruns/idle", None),
    ("GET", "other-core:secrets/login", None),
]

COLLECTIONS = ("secrets", "configmaps", "pods", "serviceaccounts", "services", "apptasks")


def _verb(method: str, target: str) -> str:
    """How the API server calls it: a GET of a collection is a list."""
    return "list" if method == "GET" and target.rpartition(":")[2] in COLLECTIONS else ""


BY_PODS = [
    cannot(who, method, target, body, _verb(method, target))
    for who in ("task", "driver", "handler", "bystander")
    for method, target, body in WHAT_NO_POD_MAY
]

KEY = "00112233445566778899aabbccddeeff"
OWNER = {"apiVersion": API, "kind": "AppRun", "name": "mine", "uid": "{owner-uid}"}


def call(changed_spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A call of run `mine`, as its driver may write it but for what is given."""
    spec = {"run": "mine", "role": "task", "key": KEY, "task": "greet", "input": {}} | (changed_spec or {})
    named = {"name": f"{spec.get('run', 'mine')}-{KEY[:16]}", "ownerReferences": [OWNER]} | metadata
    return {"apiVersion": API, "kind": "AppTask", "metadata": named, "spec": spec}


def inspection() -> dict[str, Any]:
    """What only the operator starts, as it would write it."""
    made = call({"role": "inspect", "app": "shop"}, name=f"shop-inspect-{KEY[:8]}")
    del made["spec"]["run"]
    return made


def creates(
    words: str, body: dict[str, Any], code: int = 403, who: str = "driver", query: str = "?dryRun=All"
) -> Attack:
    return Attack(who, "POST", f"apptasks{query}", body, code, words)


BY_THE_DRIVER = [
    creates("", call(), 201),
    creates(NOT_THE_DRIVER, call({"run": "peer"}, ownerReferences=[{**OWNER, "name": "peer"}])),
    creates(NOT_THE_DRIVER, call({"run": "peer"})),
    creates(NOT_THE_DRIVER, call({"run": "min"}, ownerReferences=[{**OWNER, "name": "min"}])),
    creates(NOT_THE_DRIVER, call({"run": "mine-driver-1"}, ownerReferences=[{**OWNER, "name": "mine-driver-1"}])),
    creates("", call({"run": "MINE"}), 422),
    creates("", call({"run": ""}), 422),
    creates("a call is of a run", call({"role": "inspect", "app": "shop"}, name="shop-inspect-00112233"), 422),
    creates(NOT_THE_DRIVER, inspection()),
    creates("only the operator starts drivers", call({"role": "driver", "key": "driver"}, name="mine-driver")),
    creates(NOT_OWNED, call(ownerReferences=[])),
    creates(NOT_OWNED, call(ownerReferences=[{**OWNER, "name": "peer"}])),
    creates(NOT_OWNED, call(ownerReferences=[{**OWNER, "kind": "App"}])),
    creates(NOT_OWNED, call(ownerReferences=[{**OWNER, "kind": "AppTask"}])),
    creates(NOT_OWNED, call(ownerReferences=[{**OWNER, "apiVersion": "apprun.dev.evil/v1"}])),
    creates(NOT_OWNED, call(ownerReferences=[{**OWNER, "apiVersion": "v1", "kind": "Pod", "name": "mine"}])),
    creates(NOT_OWNED, call(ownerReferences=[OWNER, {**OWNER, "uid": "00000000-0000-4000-8000-000000000002"}])),
    creates("a task has no finalizers", call(finalizers=["apprun.dev/hang"])),
    creates("a task has no finalizers", call(finalizers=["foregroundDeletion"])),
    creates("an AppTask is named", call(name="mine-ffffffffffffffff"), 422),
    creates("an AppTask is named", call(name=f"peer-{KEY[:16]}"), 422),
    creates("an AppTask is named", call(name=None, generateName="mine-"), 422),
    creates("", call(name="../mine"), 422),
    creates("", call(name="Mine-0011223344556677"), 422),
    creates("", call(name="x" * 254), 422),
    creates("", call(namespace="{elsewhere}"), 400),
    creates("a timer needs seconds", call({"role": "timer"}), 422),
    creates("", call({"role": "root"}), 422),
    creates("", call({"key": "short"}), 422),
    creates("", call({"key": "../../../../../../../etc/passwd0"}), 422),
    creates("a call is of a run", call({"app": "shop"}), 422),
    creates("already exists", call({"key": "{sibling-key}"}, name="{sibling}"), 409, query=""),
    creates("must be AppTask", call() | {"kind": "AppRun"}, 422),
    creates("", call() | {"apiVersion": "apprun.dev/v2"}, 400),
    creates("", {"apiVersion": API, "kind": "AppTaskList", "items": [call()]}, 422),
    creates(NOT_THE_DRIVER, call(), who="loose driver"),
    creates(NOT_THE_DRIVER, call(), who="root"),
    creates(NOT_THE_DRIVER, call(), who="namesake"),
    creates("cannot create resource", call(), who="strange driver"),
    creates("cannot create resource", call(), who="task"),
    creates("cannot create resource", call(), who="handler"),
    creates("cannot create resource", call(), who="bystander"),
    Attack("driver", "PATCH", "apptasks/mine-0011223344556677?fieldManager=d&force=true", call(), 403,
           "cannot patch resource", "application/apply-patch+yaml"),
    cannot("driver", "POST", "other:apptasks", call()),
    cannot("driver", "PUT", "apptasks/{mine}", call()),
    cannot("driver", "PATCH", "apptasks/{mine}", {"spec": {"input": {}}}),
    cannot("driver", "DELETE", "apptasks/{mine}"),
    cannot("driver", "DELETE", "apptasks", verb="deletecollection"),
    cannot("driver", "GET", "/apis/apprun.dev/v1alpha1/apptasks", verb="list"),
    cannot("driver", "GET", "appruns", verb="list"),
    cannot("driver", "GET", "appledgers", verb="list"),
    cannot("driver", "POST", "appruns", RUN),
    cannot("driver", "PATCH", "appruns/idle", {"spec": {"cancel": True}}),
    cannot("driver", "PATCH", "appruns/idle", {"metadata": {"finalizers": ["apprun.dev/hang"]}}),
    cannot("driver", "DELETE", "appruns", verb="deletecollection"),
    merge("driver", "apptasks/{driver}/status?dryRun=All", {"status": {"progress": {"done": 1}}}, "", 200),
    may("driver", "GET", "apptasks/{peer}"),
    may("driver", "GET", "appledgers/idle-0"),
]  # fmt: skip

BY_THE_HANDLER = [
    merge("handler", "apptasks/{driver}/status", REPORT, "apprun: not the current attempt"),
    cannot("handler", "GET", "apptasks", verb="list"),
    cannot("handler", "GET", "appruns", verb="list"),
    cannot("handler", "GET", "apps", verb="list"),
    cannot("handler", "PUT", "appruns/idle", RUN),
    cannot("handler", "DELETE", "appruns", verb="deletecollection"),
    cannot("handler", "GET", "appledgers/idle-0"),
    cannot("handler", "POST", "other:appruns", RUN),
    cannot("handler", "GET", "other:apps/shop"),
    cannot("handler", "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {}}),
    merge("handler", "appruns/idle", {"spec": {"input": {"n": 2}}}, "a run's spec is immutable", 422),
    merge("handler", "appruns/idle", {"spec": {"app": {"entry": "evil:App"}}}, "a run's spec is immutable", 422),
    Attack("handler", "POST", "appruns?dryRun=All", RUN_OF_SHOP | {"status": {"phase": "Succeeded"}}, 201),
    Attack("handler", "POST", "appruns?dryRun=All", RUN, 403, "apprun: no right to create pods"),
    Attack("handler", "POST", "appruns?dryRun=All", RUN | {"spec": {}}, 422, "give exactly one of appRef"),
    may("handler", "GET", "apps/shop"),
]

TO_READ = ("apps/shop", "appruns/idle", "apptasks/{mine}", "appledgers/idle-0", "appstates/shop")
BY_PEOPLE = [
    *(may(who, "GET", target) for who in ("viewer", "editer") for target in TO_READ),
    *(cannot("viewer", "DELETE", target) for target in TO_READ),
    *(cannot(who, "GET", f"other:{target}") for who in ("viewer", "editer") for target in TO_READ),
    cannot("viewer", "POST", "appruns", RUN),
    cannot("viewer", "POST", "apps", APP),
    cannot("viewer", "PATCH", "appruns/idle", {"spec": {"cancel": True}}),
    cannot("viewer", "PATCH", "appruns/idle", {"spec": {"suspend": False}}),
    cannot("viewer", "GET", "core:secrets/login"),
    Attack("editer", "POST", "appruns?dryRun=All", RUN, 201),
    Attack("editer", "POST", "apps?dryRun=All", APP, 201),
    merge("editer", "appruns/idle?dryRun=All", {"spec": {"cancel": True}}, "", 200),
    merge("editer", "appruns/idle", {"spec": {"input": {"n": 2}}}, "a run's spec is immutable", 422),
    operations("editer", "appruns/idle", "spec is immutable", ("replace", "/spec/app/entry", "evil:A"), code=422),
    *(cannot(who, "PATCH", f"{target}/status", {"status": {}})
      for who in ("viewer", "editer", "adminer") for target in ("apps/shop", "appruns/idle", "apptasks/{mine}")),
    *(cannot(who, method, target, body)
      for who in ("editer", "adminer")
      for method, target, body in (
          ("POST", "apptasks", call()),
          ("PATCH", "apptasks/{mine}", {"metadata": {"labels": {"a": "b"}}}),
          ("DELETE", "apptasks/{mine}", None),
          ("DELETE", "apptasks/{done}", None),
          ("POST", "appledgers", NAMED),
          ("PATCH", "appledgers/idle-0", {"metadata": {"labels": {"a": "b"}}}),
          ("DELETE", "appledgers/idle-0", None),
          ("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", BINDING),
          ("POST", "/api/v1/namespaces/{system}/serviceaccounts/{operator-account}/token", TOKEN),
      )),
]  # fmt: skip

BY_ROOT = [
    operations("root", "apptasks/{mine}", UNTOUCHABLE, ("add", "/metadata/finalizers", ["apprun.dev/hang"])),
    operations("root", "apptasks/{mine}", UNTOUCHABLE, ("remove", "/metadata/ownerReferences", None)),
    operations("root", "apptasks/{mine}", UNTOUCHABLE, ("add", "/metadata/labels", {"apprun.dev/run": "peer"})),
    operations("root", "apptasks/{mine}", UNTOUCHABLE, ("replace", "/metadata/ownerReferences/0/name", "peer")),
    apply("root", "apptasks/{mine}", {"metadata": {"name": "{mine}", "labels": {"a": "b"}}}, UNTOUCHABLE),
    apply("root", "apptasks/{done}", {"metadata": {"name": "{done}", "annotations": {"a": "b"}}}, UNTOUCHABLE),
    merge("root", "apptasks/{done}/status", {"status": {"output": {"n": 2}}}, "apprun: not a pod of this namespace"),
    operations("root", "appruns/idle/status", STATUS, ("add", "/status/checkpoints", [])),
    operations("root", "apps/shop/status", STATUS, ("add", "/status/conditions", [])),
    operations(
        "root",
        "appledgers/idle-0",
        "apprun: the ledger is written by the operator only",
        ("add", "/metadata/finalizers", ["apprun.dev/hang"]),
    ),
    merge("root", "appledgers/idle-0", {"metadata": {"ownerReferences": [OWNER]}}, LEDGER),
    Attack("root", "DELETE", "appledgers/idle-0?gracePeriodSeconds=0", None, 403, LEDGER),
    Attack("root", "DELETE", "appledgers", None, 403, LEDGER),
    Attack("root", "DELETE", "apptasks/{done}?gracePeriodSeconds=0", None, 403, PROTECTED),
    Attack("root", "DELETE", "apptasks/{failed}?propagationPolicy=Orphan", None, 403, PROTECTED),
    Attack("root", "DELETE", "apptasks/{done}?dryRun=All", None, 403, PROTECTED),
    Attack("root", "DELETE", "apptasks/{done}", {"propagationPolicy": "Foreground"}, 403, PROTECTED),
]

BY_NOBODY = [
    Attack(who, method, target, body, 401, "Unauthorized", MERGE if method == "PATCH" else "application/json")
    for who in ("garbage", "narrow")
    for method, target, body in (
        ("GET", "appruns/idle", None),
        ("POST", "appruns", RUN),
        ("DELETE", "apptasks/{mine}", None),
        ("GET", "core:secrets/login", None),
        ("PATCH", "appruns/idle/status", {"status": {}}),
    )
] + [
    Attack(who, method, target, body, ANONYMOUS, "", MERGE if method == "PATCH" else "application/json")
    for who in ("nobody", "empty")
    for method, target, body in (
        ("GET", "appruns/idle", None),
        ("POST", "appruns", RUN),
        ("PATCH", "apptasks/{mine}/status", REPORT),
        ("DELETE", "appledgers/idle-0", None),
        ("GET", "core:secrets/login", None),
        ("GET", "/metrics", None),
        ("GET", "/logs/", None),
        ("GET", "/debug/pprof/", None),
    )
]  # fmt: skip

RIGHTS = [*BY_PODS, *BY_THE_DRIVER, *BY_THE_HANDLER, *BY_PEOPLE, *BY_ROOT, *BY_NOBODY]
