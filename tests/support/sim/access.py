"""What the API server refuses in a cluster with the chart: tokens of pods that are gone, RBAC, schemas, their rules in
CEL, and the admission policies. Written by hand after crds/ and charts/.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from tests.support.fake_api import TERMINAL, FakeServer, Object, Place, Rules, User
from tests.support.sim import schema
from tests.support.sim.roles import DRIVER_ROLE, LEASE, OPERATOR_ROLE, TASK_ROLE, Role

from application_sdk.wire import names
from apprun_operator.kube.errors import ForbiddenError, InvalidError, UnauthorizedError

OPERATOR = User("system:serviceaccount:apprun-system:apprun")
GARBAGE_COLLECTOR = User("system:serviceaccount:kube-system:generic-garbage-collector")
PERSON = User("person")
"""Who may do all that RBAC can allow, the verb `restore` included."""
EDITOR = User("editor")
"""Who may do what the role `edit` allows: no status, no task and no page."""
RESTORERS = frozenset({PERSON.name, GARBAGE_COLLECTOR.name})
"""Who has the verb `restore`. The collector never tries; the conformance test speaks for it as an administrator."""
TRUSTED = frozenset(
    {
        OPERATOR.name,
        GARBAGE_COLLECTOR.name,
        "system:serviceaccount:kube-system:namespace-controller",
        "system:kube-controller-manager",
    }
)
NEEDS_RESTORE = "`apprun import` needs the verb restore on appruns"
ATTEMPT_POD = re.compile(
    r"-((driver|[0-9a-f]{16}|inspect-[0-9a-f]{8})-[1-9][0-9]*-[0-9a-f]{8}|w-[0-9a-f]{8}-[0-9]{1,3})$"
)
DRIVER_POD = re.compile(r"[1-9][0-9]*-[0-9a-f]{8}")
RUN_FIELDS = ("appRef", "app", "entrypoint", "input", "timeoutSeconds", "correlationId", "continuedFrom")
WRITABLE_META = ("labels", "annotations", "ownerReferences", "finalizers")
OURS = ("apps", "appruns", "apptasks", "appledgers", "appstates", "appworkers")


def service_account(user: User) -> tuple[str, str]:
    """Namespace and name of a service account; empty for others."""
    parts = user.name.split(":")
    return (parts[2], parts[3]) if parts[:2] == ["system", "serviceaccount"] else ("", "")


class ClusterRules(Rules):
    """Those of a cluster with the chart."""

    def __init__(self, *, bindings: bool = True) -> None:
        self._bindings = bindings
        """Whether pods may do something only after the operator has made the namespace's role bindings."""

    def authorize(self, server: FakeServer, user: User, verb: str, place: Place, subresource: str) -> None:
        namespace, account = service_account(user)
        if not namespace or namespace == "kube-system":
            return
        if user.pod:
            pod = server.objects.get(Place("pods", namespace, user.pod))
            if pod is None or pod["metadata"]["uid"] != user.pod_uid:
                raise UnauthorizedError("Unauthorized", status=401, reason="Unauthorized")
        resource = f"{place.plural}/{subresource}" if subresource else place.plural
        if resource == names.APP_WORKERS and user.pod and self._may_read_inbox(server, verb, place, user, account):
            return
        if not any(verb in role.get(resource, ()) for role in self._roles(server, user, namespace, account, place)):
            raise ForbiddenError(
                f'{place.plural} "{place.name}" is forbidden: User "{user.name}" cannot {verb} resource "{resource}"',
                status=403,
                reason="Forbidden",
            )

    def _may_read_inbox(self, server: FakeServer, verb: str, place: Place, user: User, account: str) -> bool:
        """By the role of a pool, bound to the pod's account. A watch of one object is told by the pod's own name."""
        name = place.name or user.pod
        for where, binding in server.objects.items():
            bound = where.plural == "rolebindings" and where.namespace == place.namespace
            if not bound or account not in [subject["name"] for subject in binding.get("subjects", [])]:
                continue
            role = server.objects.get(Place("roles", place.namespace, binding["roleRef"]["name"]))
            for rule in (role or {}).get("rules", []):
                if verb in rule["verbs"] and names.APP_WORKERS in rule["resources"] and name in rule["resourceNames"]:
                    return True
        return False

    def _roles(self, server: FakeServer, user: User, namespace: str, account: str, place: Place) -> list[Role]:
        if user == OPERATOR:
            its_own = place.namespace == namespace
            return [OPERATOR_ROLE, {"leases": LEASE}] if its_own else [OPERATOR_ROLE]
        if place.namespace != namespace:
            return []
        roles = []
        for role, mine in ((DRIVER_ROLE, account == names.DRIVER_SERVICE_ACCOUNT), (TASK_ROLE, True)):
            binding = names.DRIVER_SERVICE_ACCOUNT if role is DRIVER_ROLE else names.TASK_SERVICE_ACCOUNT
            if mine and (not self._bindings or Place("rolebindings", namespace, binding) in server.objects):
                roles.append(role)
        return roles

    def complete(self, place: Place, item: Object) -> Object:
        if place.plural not in OURS:
            return super().complete(place, item)
        # A null for a whole status counts as none.
        completed = schema.completed(place.plural, item)
        if problems := schema.problems(place.plural, completed):
            raise _invalid(place, "; ".join(problems))
        return completed

    def admit(self, server: FakeServer, user: User, place: Place, subresource: str, old: Object | None,
              new: Object | None) -> None:  # fmt: skip
        if place.plural == "pods" and old is None and new is not None:
            self._needs_account(server, place, new)
            _deny(place, *_pods(user, place))
        if place.plural not in OURS:
            return
        if new is not None and (problems := RULES.get(place.plural, lambda old, new: [])(old, new)):
            raise _invalid(place, ", ".join(problems))
        for policy in (
            _run_marks,
            _run_status,
            _ledgers,
            _task_calls,
            _task_protection,
            _task_reports,
            _sizes,
            _workers,
        ):
            _deny(place, *policy(user, place, subresource, old, new))

    def _needs_account(self, server: FakeServer, place: Place, pod: Object) -> None:
        account = pod["spec"].get("serviceAccountName", "default")
        if self._bindings and Place("serviceaccounts", place.namespace, account) not in server.objects:
            raise ForbiddenError(
                f'pods "{place.name}" is forbidden: error looking up service account {place.namespace}/{account}: '
                f'serviceaccount "{account}" not found',
                status=403,
                reason="Forbidden",
            )


def _deny(place: Place, policy: str, message: str) -> None:
    if message:
        group = "" if place.plural == "pods" else ".apprun.dev"
        raise ForbiddenError(
            f'{place.plural}{group} "{place.name}" is forbidden: ValidatingAdmissionPolicy {policy!r} with '
            f"binding {policy!r} denied request: {message}",
            status=403,
            reason="Forbidden",
        )


def _invalid(place: Place, message: str) -> InvalidError:
    return InvalidError(f"{place.plural} {place.name!r} is invalid: {message}", status=422, reason="Invalid")


# Rules of the schemas in CEL


def _status(item: Object | None) -> Object:
    return (item or {}).get("status") or {}


def _apptask(old: Object | None, new: Object) -> list[str]:
    spec, problems = new["spec"], []
    if (spec["role"] == "inspect") != ("app" in spec) or ("app" in spec) == ("run" in spec):
        return ["a call is of a run, an inspection of an app: one of the two is given"]
    key = spec["key"]
    name = f"{spec['app']}-inspect-{key[:8]}" if "app" in spec else f"{spec['run']}-{key[:16]}"
    if len(key) < 32:
        name = f"{spec['run']}-driver" if spec["role"] == "driver" else ""
    if new["metadata"]["name"] != name:
        problems.append("an AppTask is named <run>-<first 16 digits of its key>")
    if (spec["role"] == "local") != ("outcome" in spec):
        problems.append("a call that the driver has executed itself comes with its outcome, and no other call does")
    if "outcome" in spec and (spec["outcome"]["phase"] == "Succeeded") == ("error" in spec["outcome"]):
        problems.append("an outcome has an error unless it is Succeeded")
    if spec["role"] == "timer" and "seconds" not in spec:
        problems.append("a timer needs seconds")
    if _account(spec) in names.RESERVED_SERVICE_ACCOUNTS:
        problems.append("tasks don't run as accounts of AppRun's own")
    if old is None:
        return problems
    if spec != old["spec"]:
        problems.append("a task call never changes: its spec is immutable")
    before, after = _status(old), _status(new)
    if "status" in old and "status" in new:
        if "attempt" in before and after.get("attempt", 0) < before["attempt"]:
            problems.append("attempt numbers only grow")
        if before.get("phase") in TERMINAL and after.get("phase") != before["phase"]:
            problems.append("apprun: already finished: this task call has ended; its phase never changes again")
    return problems


def _apprun(old: Object | None, new: Object) -> list[str]:
    spec, problems = new["spec"], []
    if len(new["metadata"]["name"]) > names.RUN_NAME_MAX_LENGTH:
        problems.append("the name of a run may have 63 characters at most")
    if ("appRef" in spec) == ("app" in spec):
        problems.append("exactly one of appRef and app")
    if (spec.get("app") or {}).get("serviceAccountName") in names.RESERVED_SERVICE_ACCOUNTS:
        problems.append("tasks don't run as accounts of AppRun's own")
    after = _status(new)
    checkpoints = after.get("checkpoints") or []
    if checkpoints and not (
        checkpoints[0]["sequence"] == after.get("ledgerPages", 0) * 128
        and checkpoints[-1]["sequence"] == checkpoints[0]["sequence"] + len(checkpoints) - 1
    ):
        problems.append("checkpoints go on, without a gap, where the ledger's pages end")
    if old is None:
        return problems
    before = _status(old)
    correctable = before.get("phase") == "Stalled" and not before.get("checkpoints") and not before.get("ledgerPages")
    if any(spec.get(name) != old["spec"].get(name) for name in RUN_FIELDS) and not correctable:
        problems.append("a run's spec is immutable except suspend, cancel, …")
    if old["spec"].get("cancel") and not spec.get("cancel"):
        problems.append("a cancellation can't be taken back")
    if "status" in old and "status" in new:
        if before.get("phase") in TERMINAL and after.get("phase") != before["phase"]:
            problems.append("a finished run keeps its phase")
        if "restoredFrom" in before and after.get("restoredFrom", {}).get("uid") != before["restoredFrom"]["uid"]:
            problems.append("a restored run keeps the identity that it began with")
        if _length(after) < _length(before):
            problems.append("the ledger never gets shorter: committed checkpoints stay")
    return problems


def _length(status: Object) -> int:
    return int(status.get("ledgerPages", 0)) * 128 + len(status.get("checkpoints") or [])


def _appledger(old: Object | None, new: Object) -> list[str]:
    spec, problems = new["spec"], []
    if new["metadata"]["name"] != f"{spec['run']}-{spec['number']}":
        problems.append("a page is named <run>-<number>")
    first, last = spec["checkpoints"][0]["sequence"], spec["checkpoints"][-1]["sequence"]
    if (first, last) != (spec["number"] * 128, spec["number"] * 128 + 127):
        problems.append("page n holds the checkpoints from n * 128 on")
    if old is not None and spec != old["spec"]:
        problems.append("a page of the ledger never changes")
    return problems


def _app(old: Object | None, new: Object) -> list[str]:
    reserved = new["spec"].get("serviceAccountName") in names.RESERVED_SERVICE_ACCOUNTS
    return ["tasks don't run as accounts of AppRun's own"] if reserved else []


LIMITS = {
    "spec": {"input": 240 * 1024},
    "status": {
        "heartbeat": 8 * 1024,
        "output": 240 * 1024,
        "continueWith": 240 * 1024,
        "begunWith": 240 * 1024,
        "state": 240 * 1024,
    },
}
"""Bytes of JSON."""


def fits(value: object, limit: int) -> bool:
    """Whether the policies take a value for JSON of that length."""
    text = value if isinstance(value, str) else _text(value)
    return len(text) > 4_500_000 or len(text) - 309 * text.count(".000000") <= limit * 3 // 2


def _text(value: object) -> str:
    """A value as CEL's `'%s'.format` has it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k, ensure_ascii=False)}:{_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_text, value)) + "]"
    return f"{value:f}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


RULES: dict[str, Callable[[Object | None, Object], list[str]]] = {
    "apps": _app,
    "apptasks": _apptask,
    "appruns": _apprun,
    "appledgers": _appledger,
}


# The chart's policies: each gives its name, and its refusal if it has one


def _unchanged(old: Object, new: Object) -> bool:
    return bool(new["spec"] == old["spec"]) and all(
        new["metadata"].get(name) == old["metadata"].get(name) for name in WRITABLE_META
    )


def _pod(user: User, place: Place) -> str:
    return user.pod if user.name.startswith(f"system:serviceaccount:{place.namespace}:") else ""


def _restored_from(item: Object | None) -> str:
    annotations: Object = (item or {"metadata": {}})["metadata"].get("annotations") or {}
    return str(annotations.get(names.RESTORED_FROM_ANNOTATION, ""))


def _run_marks(user: User, place: Place, subresource: str, old: Object | None, new: Object | None) -> tuple[str, str]:
    name = "apprun-run-marks"
    if place.plural != "appruns" or subresource or old is None or new is None or user != OPERATOR:
        return name, ""
    before, after = (item["metadata"].get("annotations") or {} for item in (old, new))
    others = {key: value for key, value in after.items() if key != names.BEGAN_AS_ANNOTATION}
    mark = after.get(names.BEGAN_AS_ANNOTATION, new["metadata"]["uid"])
    same = all(
        new["metadata"].get(part) == old["metadata"].get(part) for part in WRITABLE_META if part != "annotations"
    )
    unchanged = others == {key: value for key, value in before.items() if key != names.BEGAN_AS_ANNOTATION}
    if (
        new["spec"] == old["spec"]
        and same
        and unchanged
        and before.keys() <= after.keys()
        and mark == new["metadata"]["uid"]
    ):
        return name, ""
    return name, "apprun: the operator writes nothing of a run but its status and the annotation apprun.dev/began-as"


def _incarnation(item: Object) -> str:
    owners = item["metadata"].get("ownerReferences") or []
    return names.incarnation(owners[0]["uid"]) if owners and len(owners[0]["uid"]) >= names.INCARNATION_LENGTH else ""


def _account(spec: Object) -> str:
    return str((spec.get("pod") or {}).get("serviceAccountName", ""))


def _pods(user: User, place: Place) -> tuple[str, str]:
    name = "apprun-pods"
    if user == OPERATOR or not ATTEMPT_POD.search(place.name):
        return name, ""
    return name, "apprun: not a name for a pod of yours"


def _run_status(user: User, place: Place, subresource: str, old: Object | None, new: Object | None) -> tuple[str, str]:
    name = "apprun-run-status"
    if place.plural not in ("apps", "appruns") or subresource != "status" or user == OPERATOR:
        return name, ""
    origin, before = _restored_from(old), _status(old)
    has_past = any(part in before for part in ("app", "restoredFrom", "finishedAt")) or before.get("checkpoints")
    imports = place.plural == "appruns" and bool(origin) and not has_past and user.name in RESTORERS
    if imports and _status(new).get("restoredFrom", {}).get("uid") == origin:
        return name, ""
    return name, f"apprun: the status of apps and runs is written by the operator only; {NEEDS_RESTORE}"


def _workers(user: User, place: Place, subresource: str, old: Object | None, new: Object | None) -> tuple[str, str]:
    name = "apprun-workers"
    if place.plural != "appworkers" or new is None or user.name in TRUSTED:
        return name, ""
    return name, "apprun: the inboxes of warm pods are written by the operator only"


def _ledgers(user: User, place: Place, subresource: str, old: Object | None, new: Object | None) -> tuple[str, str]:
    name = "apprun-ledgers"
    if place.plural != "appledgers" or user.name in TRUSTED:
        return name, ""
    if old is not None and new is not None and _unchanged(old, new):
        return name, ""
    if old is None and new is not None and _restored_from(new) and user.name in RESTORERS:
        owners = new["metadata"].get("ownerReferences") or []
        if [(owner["kind"], owner["name"]) for owner in owners] == [("AppRun", new["spec"]["run"])]:
            return name, ""
    return name, f"apprun: the ledger is written by the operator only, and removed with its AppRun; {NEEDS_RESTORE}"


def _task_calls(user: User, place: Place, subresource: str, old: Object | None, new: Object | None) -> tuple[str, str]:
    name = "apprun-task-calls"
    if place.plural != "apptasks" or old is not None or new is None or user == OPERATOR:
        return name, ""
    spec, owners = new["spec"], new["metadata"].get("ownerReferences") or []
    prefix, pod = f"{spec.get('run', '')}-driver-", _pod(user, place)
    rest, incarnation = pod.removeprefix(prefix), _incarnation(new)
    driver = f"system:serviceaccount:{place.namespace}:{names.DRIVER_SERVICE_ACCOUNT}"
    imports = bool(_restored_from(new)) and spec["role"] != "inspect" and user.name in RESTORERS
    named = pod.startswith(prefix) and DRIVER_POD.fullmatch(rest) is not None
    own = user.name == driver and named and (incarnation == "" or pod.endswith(f"-{incarnation}"))
    if not (own or imports):
        run = spec.get("run", "")
        return name, f"apprun: not the driver of this run: tasks of run {run} are created by its own driver"
    if spec["role"] in ("driver", "inspect") and not imports:
        return name, "apprun: only the operator starts drivers and inspections"
    owner = owners[0] if len(owners) == 1 else {}
    if (
        not incarnation
        or (owner.get("kind"), owner.get("name")) != ("AppRun", spec["run"])
        or not owner["apiVersion"].startswith("apprun.dev/")
    ):
        return name, "apprun: not owned by its run"
    if _account(spec) in names.RESERVED_SERVICE_ACCOUNTS or (
        (place.namespace, _account(spec)) == service_account(OPERATOR)
    ):
        return name, "apprun: not a task's service account"
    output = (spec.get("outcome") or {}).get("output")
    if output is not None and not fits(output, LIMITS["spec"]["input"]):
        return name, "apprun: spec.outcome.output is too large: its JSON may be 240 KiB long."
    if new["metadata"].get("finalizers"):
        return name, "apprun: a task has no finalizers"
    return name, ""


def _task_protection(
    user: User, place: Place, subresource: str, old: Object | None, new: Object | None
) -> tuple[str, str]:
    name = "apprun-task-protection"
    if place.plural != "apptasks" or subresource or old is None or user.name in TRUSTED:
        return name, ""
    if new is None:
        ended = old["spec"]["role"] == "local" or _status(old).get("phase") in TERMINAL
        if not old["metadata"].get("ownerReferences") or not ended:
            return name, ""
        return name, "apprun: a finished task can't be deleted, because its run would have to repeat it"
    if _unchanged(old, new):
        return name, ""
    return name, "apprun: tasks are written by their run's driver and by the operator only"


def _sizes(user: User, place: Place, subresource: str, old: Object | None, new: Object | None) -> tuple[str, str]:
    name = "apprun-report-sizes" if subresource else "apprun-input-sizes"
    if new is None or place.plural not in ("appruns", "apptasks") or (subresource and place.plural != "apptasks"):
        return name, ""
    part = "status" if subresource else "spec"
    for field, limit in LIMITS[part].items():
        before, after = ((item or {}).get(part) or {} for item in (old, new))
        if field in after and after[field] != before.get(field) and not fits(after[field], limit):
            return name, f"apprun: {part}.{field} is too large: its JSON may be {limit // 1024} KiB long."
    return name, ""


def _task_reports(
    user: User, place: Place, subresource: str, old: Object | None, new: Object | None
) -> tuple[str, str]:
    name = "apprun-task-reports"
    if place.plural != "apptasks" or subresource != "status" or old is None or new is None:
        return name, ""
    pod = _pod(user, place)
    before, after = _status(old), _status(new)
    attempt, assigned = before.get("attempt", 1), before.get("pod")
    incarnation = _incarnation(old)
    current = names.pod_name(place.name, attempt, incarnation) if incarnation else ""
    if assigned is not None:
        current = assigned["name"]
    finished = before.get("phase") in TERMINAL
    fresh = bool(_restored_from(old)) and not finished and "restoredAt" not in before and "restoredAt" in after
    operator = user == OPERATOR or (fresh and user.name in RESTORERS)
    if not operator and not pod:
        return name, "apprun: not a pod of this namespace"
    if not operator and (pod != current or (assigned is not None and user.pod_uid != assigned["uid"])):
        return name, f"apprun: not the current attempt: pod {pod} asks, and only pod {current} may report"
    if old["spec"]["role"] == "local" and not fresh and new.get("status") != old.get("status"):
        return name, "apprun: already finished: the run's driver has executed this call itself"
    if not operator and finished and new.get("status") != old.get("status"):
        return name, "apprun: already finished: this task call has its result, which never changes again"
    if finished and any(after.get(f) != before.get(f) for f in ("phase", "output", "error", "continueWith")):
        return name, "apprun: already finished: nobody may change the phase, output or error of a finished task call"
    if operator:
        return name, ""
    if (after.get("phase") not in ("Succeeded", "Saving") and after.get("phase") != before.get("phase")) or any(
        after.get(f) != before.get(f)
        for f in ("attempt", "pod", "assignedAt", "attempts", "notBefore", "message", "restoredAt")
    ):
        return name, "apprun: not yours to write"
    ends = after.get("phase") in ("Succeeded", "Saving") and after.get("phase") != before.get("phase")
    if assigned is not None and ends and after.get("reportedAttempt", 0) != attempt:
        return name, "apprun: not the current attempt: the report is about another one"
    error = after.get("error")
    if error is not None and error != before.get("error") and error.get("attempt") != attempt:
        return name, "apprun: an error names the attempt that it ended, which is the current one"
    return name, ""
