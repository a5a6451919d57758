"""Nobody gains by an App what they couldn't by a pod: who may write what, asked of a real API server as each of them.

A rule is judged by the writer's own rights, so the tests speak as users with roles of their own. Runs are suspended or
of an App that isn't there, so that an operator in the cluster starts nothing.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cluster import admission_world as worlds
from tests.cluster.admission_world import RBAC, RUN_UID, World, expect, task_body
from tests.cluster.apiserver import Answer, Client, kubeconfig

from application_sdk.wire import names

pytestmark = pytest.mark.cluster

Rule = dict[str, Any]
CHART = Path(__file__).resolve().parents[2] / "charts" / "apprun"
NAMES = (f"who{number}" for number in itertools.count())
WRITE = ["get", "create", "update", "patch", "delete"]


def rule(group: str, resources: str, *verbs: str, only: str = "") -> Rule:
    """A rule of a Role."""
    names_of = {"resourceNames": [only]} if only else {}
    return {"apiGroups": [group], "resources": resources.split(","), "verbs": list(verbs)} | names_of


APPS = rule("apprun.dev", "apps,appruns", *WRITE)
PODS = rule("", "pods", "create")
START = rule("apprun.dev", "appruns", *WRITE)
USE = rule("", "serviceaccounts", "use", only="custom")
NO_PODS = "apprun: no right to create pods"
NO_HANDLER = "apprun: no right to create a handler"
NO_USE = "apprun: no right to use the service account"
NOT_FOR_TASKS = "apprun: not a task's service account"
NOT_ALLOWED = "apprun: not an allowed pod field"
APP = {"entry": "app:Hello"}
AS_CUSTOM = APP | {"serviceAccountName": "custom"}


@pytest.fixture
def name() -> str:
    return next(NAMES)


def app(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": worlds.API, "kind": "App", "metadata": {"name": name}, "spec": APP | spec}


def run(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": worlds.API, "kind": "AppRun", "metadata": {"name": name}, "spec": {"suspend": True} | spec}


def subject(user: str) -> dict[str, str]:
    return {"apiGroup": worlds.GROUP, "kind": "User", "name": user}


def granted(world: World, to: dict[str, str], *rules: Rule, namespace: str = "") -> None:
    """Gives a subject these rights in the namespace, and waits until the API server knows."""
    path, role = f"{RBAC}/namespaces/{namespace or world.namespace}", f"role-{next(NAMES)}"
    expect(world.admin.create(f"{path}/roles", {"metadata": {"name": role}, "rules": list(rules)}))
    reference = {"apiGroup": worlds.GROUP, "kind": "Role", "name": role}
    expect(
        world.admin.create(f"{path}/rolebindings", {"metadata": {"name": role}, "roleRef": reference, "subjects": [to]})
    )
    user = to["name"] if to["kind"] == "User" else f"system:serviceaccount:{to['namespace']}:{to['name']}"
    for each in rules:
        worlds.eventually(lambda each=each: reviewed(world, user, each, namespace))  # type: ignore[misc]


def reviewed(world: World, user: str, right: Rule, namespace: str = "") -> bool:
    """Whether the API server says that the user has the first right of the rule."""
    attributes = {
        "namespace": namespace or world.namespace,
        "verb": right["verbs"][0],
        "group": right["apiGroups"][0],
        "resource": right["resources"][0],
        "name": (right.get("resourceNames") or [""])[0],
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = world.admin.create("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(expect(answer)["status"]["allowed"])


def person(world: World, *rules: Rule) -> Client:
    """A new user with these rights in the namespace and no other."""
    user = f"user-{next(NAMES)}"
    granted(world, subject(user), *rules)
    return world.admin.impersonating(user)


def refused(answer: Answer, *words: str, code: int = 403) -> None:
    missing = [each for each in words if each not in answer.message]
    assert (answer.code, missing) == (code, []), f"{answer.code}: {answer.message or 'was allowed'}"


# Pods


def test_author_without_pods_is_refused(world: World, name: str) -> None:
    author = person(world, APPS)
    refused(author.create(world.path("apps"), app(name)), NO_PODS, "spec starts pods", f"-n {world.namespace}")


def test_author_with_pods_passes(world: World, name: str) -> None:
    author = person(world, APPS, PODS)
    expect(author.create(world.path("apps"), app(name)))
    expect(author.patch(world.path("apps", name), {"spec": {"image": "other:2"}}))
    expect(author.create(world.path("appruns"), run(name, app=APP)))


def test_run_with_an_inline_app_is_judged_as_an_app(world: World, name: str) -> None:
    starter = person(world, START)
    answer = starter.create(world.path("appruns"), run(name, app=APP))
    refused(answer, NO_PODS, "spec.app starts pods", "spec.appRef")


def test_run_of_an_app_needs_no_pods(world: World, name: str) -> None:
    starter = person(world, START)
    expect(starter.create(world.path("appruns"), run(name, appRef={"name": "absent"})))


def test_pods_of_another_namespace_dont_count(world: World, name: str) -> None:
    other, user = f"{world.namespace}-other", f"user-{next(NAMES)}"
    expect(world.admin.create("/api/v1/namespaces", {"metadata": {"name": other}}))
    granted(world, subject(user), APPS)
    granted(world, subject(user), PODS, namespace=other)
    refused(world.admin.impersonating(user).create(world.path("apps"), app(name)), NO_PODS)
    expect(world.admin.delete(f"/api/v1/namespaces/{other}"))


def test_remedy_for_pods_works_as_it_is_printed(request: pytest.FixtureRequest, world: World, name: str) -> None:
    author = person(world, APPS)
    message = author.create(world.path("apps"), app(name)).message
    printed(request, message)
    worlds.eventually(lambda: author.create(world.path("apps"), app(name)).allowed)


def test_remedy_for_accounts_works_as_it_is_printed(request: pytest.FixtureRequest, world: World, name: str) -> None:
    account = {"kind": "ServiceAccount", "name": f"author-{name}", "namespace": world.namespace}
    expect(world.admin.create(f"{world.core}/serviceaccounts", {"metadata": {"name": account["name"]}}))
    granted(world, account, APPS, PODS)
    author = world.account(account["name"])
    message = author.create(world.path("apps"), app(name, **AS_CUSTOM)).message
    printed(request, message)
    worlds.eventually(lambda: author.create(world.path("apps"), app(name, **AS_CUSTOM)).allowed)


def printed(request: pytest.FixtureRequest, message: str) -> None:
    """Does what a refusal says is to be done, as the administrator."""
    commands = re.findall(r"kubectl create [a-z]+ .*? -n [a-z0-9-]+", message)
    assert commands, message
    path = kubeconfig() or request.getfixturevalue("bed").kubeconfig
    for command in commands:
        _, *arguments = command.split()
        done = subprocess.run(
            [program(request, "kubectl"), *arguments],
            env={**os.environ, "KUBECONFIG": str(path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"


def program(request: pytest.FixtureRequest, name: str) -> str:
    """Path of kubectl or helm."""
    if kubeconfig() is None:
        return str(getattr(request.getfixturevalue("bed"), name))
    path = shutil.which(name)
    assert path, f"{name} isn't on the PATH"
    return path


# Handlers


def test_handler_needs_deployments_and_services(world: World, name: str) -> None:
    author = person(world, APPS, PODS)
    served = app(name, handler={})
    refused(author.create(world.path("apps"), served), NO_HANDLER, "spec.handler")
    half = person(world, APPS, PODS, rule("apps", "deployments", "create"))
    refused(half.create(world.path("apps"), served), NO_HANDLER)
    other = person(world, APPS, PODS, rule("apps", "deployments", "create"), rule("", "services", "create"))
    expect(other.create(world.path("apps"), served))


# Service accounts


@pytest.mark.parametrize("inline", [False, True], ids=["App", "AppRun"])
def test_account_needs_the_right_to_use_it(world: World, name: str, inline: bool) -> None:
    author = person(world, APPS, PODS)
    body = run(name, app=AS_CUSTOM) if inline else app(name, **AS_CUSTOM)
    path = "spec.app.serviceAccountName" if inline else "spec.serviceAccountName"
    collection = world.path("appruns" if inline else "apps")
    refused(author.create(collection, body), NO_USE, f"{path} names custom", "--clusterrole=apprun-use-accounts")
    for right in (USE, rule("", "serviceaccounts", "impersonate", only="custom")):
        expect(person(world, APPS, PODS, right).create(f"{collection}?dryRun=All", body))


def test_right_to_use_is_for_that_account_only(world: World, name: str) -> None:
    author = person(world, APPS, PODS, USE)
    refused(author.create(world.path("apps"), app(name, serviceAccountName="custom2")), NO_USE, "names custom2")


def test_right_to_use_doesnt_replace_pods(world: World, name: str) -> None:
    author = person(world, APPS, USE)
    refused(author.create(world.path("apps"), app(name, **AS_CUSTOM)), NO_PODS)


@pytest.mark.parametrize("account", ["default", "apprun-task"])
def test_default_accounts_need_no_right(world: World, name: str, account: str) -> None:
    author = person(world, APPS, PODS)
    expect(author.create(world.path("apps"), app(name, serviceAccountName=account)))


def test_task_override_cant_name_an_account(world: World, name: str) -> None:
    author = person(world, APPS, PODS)
    tasks = {"greet": {"cpu": "1", "serviceAccountName": "custom"}}
    made = expect(author.create(world.path("apps"), app(name, tasks=tasks)))
    assert made["spec"]["tasks"] == {"greet": {"cpu": "1"}}


def test_account_in_the_code_needs_the_drivers_right(world: World, name: str) -> None:
    driver = world.pod(names.pod_name(f"{name}-driver", 1, RUN_UID), "apprun-driver")
    call = task_body(name, owned=True, pod={"serviceAccountName": "custom"})
    path = f"{world.path('apptasks')}?dryRun=All"
    refused(driver.create(path, call), NOT_FOR_TASKS, "@task greet names custom", "create rolebinding")
    granted(world, {"kind": "ServiceAccount", "name": "apprun-driver", "namespace": world.namespace}, USE)
    expect(driver.create(path, call))
    refused(driver.create(path, task_body(name, owned=True, pod={"serviceAccountName": "other"})), NOT_FOR_TASKS)


# Later changes


def test_app_is_judged_again_when_it_changes(world: World, name: str) -> None:
    expect(world.admin.create(world.path("apps"), app(name, **AS_CUSTOM)))
    path = world.path("apps", name)
    refused(person(world, APPS).patch(path, {"spec": {"parallelism": 3}}), NO_PODS)
    # The account was there before; what is new is whose code runs as it.
    other = person(world, APPS, PODS)
    refused(other.patch(path, {"spec": {"image": "mine:1"}}), NO_USE)
    refused(other.patch(path, {"spec": {"source": {"configMap": {"name": "mine"}}}}), NO_USE)
    expect(person(world, APPS, PODS, USE).patch(path, {"spec": {"image": "other:2"}}))


def test_metadata_of_an_app_isnt_judged(world: World, name: str) -> None:
    expect(world.admin.create(world.path("apps"), app(name, **AS_CUSTOM)))
    writer = person(world, APPS)
    path = world.path("apps", name)
    stored = expect(writer.patch(path, {"metadata": {"labels": {"team": "a"}, "annotations": {"note": "b"}}}))
    expect(writer.send("PUT", path, stored))
    expect(writer.delete(path))


def test_run_is_cancelled_and_labelled_without_pods(world: World, name: str) -> None:
    expect(world.admin.create(world.path("appruns"), run(name, app=AS_CUSTOM)))
    starter = person(world, START)
    path = world.path("appruns", name)
    expect(starter.patch(path, {"metadata": {"labels": {"team": "a"}}}))
    expect(starter.patch(path, {"spec": {"parallelism": 2, "retention": {"ttlSecondsAfterFinished": 9}}}))
    expect(starter.patch(path, {"spec": {"cancel": True}}))


def stalled(world: World, name: str, **spec: Any) -> str:
    """A run whose whole spec may be corrected: it has stalled with nothing committed.

    An operator in the cluster holds it in that phase, since it says that it began as another run.
    """
    body = run(name, **spec) | {"metadata": {"name": name, "annotations": {names.BEGAN_AS_ANNOTATION: "another"}}}
    expect(world.admin.create(world.path("appruns"), body))
    status = {"status": {"phase": "Stalled"}}
    expect(world.operator_as_admin().patch(world.path("appruns", name, "status"), status))
    return world.path("appruns", name)


def test_correction_to_an_inline_app_is_judged(world: World, name: str) -> None:
    path = stalled(world, name, appRef={"name": "absent"})
    starter, author = person(world, START), person(world, START, PODS)
    refused(starter.patch(path, {"spec": {"appRef": None, "app": APP}}), NO_PODS, "spec.app")
    refused(author.patch(path, {"spec": {"appRef": None, "app": AS_CUSTOM}}), NO_USE)
    expect(author.patch(path, {"spec": {"appRef": None, "app": APP}}))


def test_correction_of_an_inline_app_is_judged(world: World, name: str) -> None:
    path = stalled(world, name, app=AS_CUSTOM)
    refused(person(world, START).patch(path, {"spec": {"app": {"image": "mine:1"}}}), NO_PODS)
    refused(person(world, START, PODS).patch(path, {"spec": {"app": {"entry": "mine:Own"}}}), NO_USE)


def test_correction_to_an_app_needs_no_pods(world: World, name: str) -> None:
    path = stalled(world, name, app=AS_CUSTOM)
    expect(person(world, START).patch(path, {"spec": {"app": None, "appRef": {"name": "absent"}}}))


# Ways around


def test_who_is_impersonated_is_judged(world: World, name: str) -> None:
    author = person(world, APPS)
    assert author.create(world.path("apps"), app(name)).code == 403
    expect(world.admin.create(f"{world.path('apps')}?dryRun=All", app(name)))
    # Somebody without the right can't put on another's name either.
    namesake = world.account("custom").impersonating("kubernetes-admin", "system:masters")
    refused(namesake.create(world.path("apps"), app(name)), "cannot impersonate")


def test_dry_run_is_judged(world: World, name: str) -> None:
    author = person(world, APPS)
    refused(author.create(f"{world.path('apps')}?dryRun=All", app(name)), NO_PODS)


def test_server_side_apply_is_judged(world: World, name: str) -> None:
    author = person(world, APPS)
    path = f"{world.path('apps', name)}?fieldManager=me&force=true"
    refused(author.send("PATCH", path, app(name), "application/apply-patch+yaml"), NO_PODS)
    expect(world.admin.create(world.path("apps"), app(name)))
    refused(author.send("PATCH", path, app(name, image="mine:1"), "application/apply-patch+yaml"), NO_PODS)


@pytest.mark.parametrize("resource", ["apps", "appruns"])
def test_no_spec_through_a_subresource(world: World, name: str, resource: str) -> None:
    bodies = {"apps": app(name), "appruns": run(name, app=APP)}
    expect(world.admin.create(world.path(resource), bodies[resource]))
    writer = person(world, APPS, rule("apprun.dev", "apps/status,appruns/status", "patch", "update"))
    change = {"spec": {"image": "mine:1", "app": {"image": "mine:1"}}}
    writer.patch(world.path(resource, name, "status"), change | {"status": {}})
    stored = expect(world.admin.get(world.path(resource, name)))
    assert stored["spec"] == bodies[resource]["spec"]
    assert world.admin.patch(world.path(resource, name, "scale"), change).code == 404


def test_restored_from_annotation_opens_nothing(world: World, name: str) -> None:
    body = run(name, app=APP)
    body["metadata"]["annotations"] = {"apprun.dev/restored-from": "before"}
    refused(person(world, START).create(world.path("appruns"), body), NO_PODS)


# Those who act for others


def test_operator_continues_a_run_with_its_app(world: World, name: str) -> None:
    chained = {"name": "before", "uid": RUN_UID, "first": "before", "number": 2}
    expect(world.operator.create(world.path("appruns"), run(name, app=AS_CUSTOM, continuedFrom=chained)))
    made = expect(world.admin.get(world.path("appruns", name)))
    marked = {"metadata": {"annotations": {names.BEGAN_AS_ANNOTATION: made["metadata"]["uid"]}}}
    expect(world.operator.patch(world.path("appruns", name), marked))


def test_handler_starts_runs_of_apps_only(world: World, name: str) -> None:
    account = {"kind": "ServiceAccount", "name": names.HANDLER_SERVICE_ACCOUNT, "namespace": world.namespace}
    world.operator.create(f"{world.core}/serviceaccounts", {"metadata": {"name": account["name"]}})
    bindings = f"{RBAC}/namespaces/{world.namespace}/rolebindings"
    bound = world.operator.create(bindings, worlds.binding("apprun-handler", account))
    assert bound.code in (201, 409), "an operator in the cluster may have been first"
    user = f"system:serviceaccount:{world.namespace}:{account['name']}"
    worlds.eventually(lambda: reviewed(world, user, rule("apprun.dev", "appruns", "create")))
    handler = world.account(account["name"])
    expect(handler.create(world.path("appruns"), run(name, appRef={"name": "absent"})))
    refused(handler.create(world.path("appruns"), run(f"{name}-own", app=APP)), NO_PODS)


def test_garbage_collector_orphans_an_app(world: World, name: str) -> None:
    body = app(name, **AS_CUSTOM)
    body["metadata"]["ownerReferences"] = [world.keeper]
    expect(world.admin.create(world.path("apps"), body))
    collector = world.admin.impersonating(worlds.GARBAGE_COLLECTOR)
    expect(collector.patch(world.path("apps", name), {"metadata": {"ownerReferences": []}}))


# The roles that there are


def role_holder(world: World, role: str) -> Client:
    user = f"user-{next(NAMES)}"
    body = worlds.binding(role, subject(user)) | {"metadata": {"name": f"{role}-{user}"}}
    expect(world.admin.create(f"{RBAC}/namespaces/{world.namespace}/rolebindings", body))
    worlds.eventually(lambda: reviewed(world, user, rule("apprun.dev", "appruns", "create")))
    return world.admin.impersonating(user)


@pytest.mark.parametrize("role", ["edit", "admin"])
def test_the_clusters_roles_write_any_app(world: World, name: str, role: str) -> None:
    holder = role_holder(world, role)
    expect(holder.create(world.path("apps"), app(name, **AS_CUSTOM, handler={})))
    expect(holder.create(world.path("appruns"), run(name, app=AS_CUSTOM)))


def test_the_charts_edit_alone_starts_what_others_wrote(world: World, name: str) -> None:
    holder = role_holder(world, "apprun-edit")
    expect(holder.create(world.path("appruns"), run(name, appRef={"name": "absent"})))
    refused(holder.create(world.path("apps"), app(name)), NO_PODS)


def test_who_restores_backups_brings_apps_back(world: World, name: str) -> None:
    holder = role_holder(world, "apprun-restore")
    expect(holder.create(world.path("apps"), app(name, **AS_CUSTOM, handler={})))
    expect(holder.create(world.path("appruns"), run(name, app=AS_CUSTOM)))


# Fields that an administrator takes from tenants

VALUES: dict[str, Any] = {
    "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}},
    "annotations": {"note": "a"},
    "dnsConfig": {"searches": ["example.com"]},
    "fsGroup": 1000,
    "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["api.example.com"]}],
    "labels": {"team": "a"},
    "nodeSelector": {"pool": "a"},
    "priorityClassName": "high",
    "runAsUser": 1000,
    "runtimeClassName": "gvisor",
    "schedulerName": "other",
    "terminationGracePeriodSeconds": 60,
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
    "volumes.csi": {"driver": "csi.example.com"},
    "volumes.ephemeral": {"volumeClaimTemplate": {"spec": {}}},
    "volumes.persistentVolumeClaim": {"claimName": "data"},
}
"""A value of each field that can be taken."""
FREE = {
    "cpu": "1",
    "env": [{"name": "A", "value": "b"}],
    "imagePullSecrets": [{"name": "registry"}],
    "volumes": [{"mountPath": f"/data{number}", "emptyDir": {}} for number in range(16)],
}
"""What nobody can take."""


def pod_of(field: str) -> dict[str, Any]:
    """A pod's fields with this one alone."""
    kind, _, source = field.partition(".")
    return {"volumes": [{"mountPath": "/data", source: VALUES[field]}]} if source else {kind: VALUES[field]}


def shown(field: str) -> str:
    return field.replace("volumes.", "volumes[].")


def rendered(request: pytest.FixtureRequest, namespace: str, *values: str) -> list[dict[str, Any]]:
    """The chart's policy of pod fields for one namespace, with these values."""
    command = (program(request, "helm"), "template", "strict", str(CHART), "--namespace", f"strict-{namespace}")
    settings = [part for value in (f'namespaces=["{namespace}"]', *values) for part in ("--set-json", value)]
    done = subprocess.run([*command, *settings, "--kube-version", "1.34"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [item for item in yaml.safe_load_all(done.stdout) if item]


def applied(request: pytest.FixtureRequest, world: World, *values: str) -> None:
    """Has the policy of pod fields hold in the world's namespace."""
    objects = [item for item in rendered(request, world.namespace, *values) if "pod-fields" in item["metadata"]["name"]]
    assert [item["kind"] for item in objects] == ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(objects, file)
        file.flush()
        path = kubeconfig() or request.getfixturevalue("bed").kubeconfig
        command = (program(request, "kubectl"), "--kubeconfig", str(path), "apply", "-f", file.name)
        subprocess.run(command, check=True, capture_output=True)
    probe = run("probe", app=APP | {"pod": pod_of("hostAliases")})
    path_of_runs = f"{world.path('appruns')}?dryRun=All"
    worlds.eventually(lambda: NOT_ALLOWED in world.admin.create(path_of_runs, probe).message)


@pytest.fixture(scope="module")
def strict(request: pytest.FixtureRequest) -> Iterator[World]:
    """A namespace where no field is left to tenants."""
    made = worlds.build(*worlds.connect(request))
    applied(request, made, "podFields.allowed=[]")
    yield made
    made.admin.delete(f"/api/v1/namespaces/{made.namespace}")
    policies = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolic"
    policy = f"strict-{made.namespace}-strict-apprun-pod-fields"
    made.admin.delete(f"{policies}ybindings/{policy}")
    made.admin.delete(f"{policies}ies/{policy}")


@pytest.mark.parametrize("field", VALUES)
def test_taken_field_is_refused_in_an_app(strict: World, name: str, field: str) -> None:
    for place in ("pod", "driver"):
        answer = strict.admin.create(strict.path("apps"), app(name, **{place: pod_of(field)}))
        refused(answer, f"{NOT_ALLOWED}: spec.{place}.{shown(field)}:", f"add {field} to the value podFields.allowed")


@pytest.mark.parametrize("field", VALUES)
def test_taken_field_is_refused_for_a_task(strict: World, name: str, field: str) -> None:
    tasks = {"greet": {"cpu": "1"}, "wave": pod_of(field)}
    refused(strict.admin.create(strict.path("apps"), app(name, tasks=tasks)), f"spec.tasks.wave.{shown(field)}:")
    inline = run(name, app=APP | {"tasks": tasks})
    refused(strict.admin.create(strict.path("appruns"), inline), f"spec.app.tasks.wave.{shown(field)}:")


@pytest.mark.parametrize("field", VALUES)
def test_taken_field_is_refused_in_the_code(strict: World, name: str, field: str) -> None:
    driver = strict.pod(names.pod_name(f"{name}-driver", 1, RUN_UID), "apprun-driver")
    call = task_body(name, owned=True, pod=pod_of(field))
    refused(driver.create(strict.path("apptasks"), call), f"{NOT_ALLOWED}: @task greet: spec.pod.{shown(field)}:")


def test_taken_volumes_are_refused_as_secrets_and_store(strict: World, name: str) -> None:
    secrets = [{"name": "login", "csi": {"driver": "secrets-store.csi.k8s.io"}}]
    refused(strict.admin.create(strict.path("apps"), app(name, secrets=secrets)), "spec.secrets[].csi:")
    storage = {"url": "file:///store", "volumeClaim": {"name": "store"}}
    answer = strict.admin.create(strict.path("appruns"), run(name, app=APP | {"storage": storage}))
    refused(answer, "spec.app.storage.volumeClaim:")


def test_other_fields_stay_free(strict: World, name: str) -> None:
    """The largest App too: what the policy costs at most is within the API server's budget."""
    tasks = {f"task{number}": FREE for number in range(256)}
    expect(strict.admin.create(strict.path("apps"), app(name, pod=FREE, driver=FREE, tasks=tasks)))
    driver = strict.pod(names.pod_name(f"{name}-driver", 1, RUN_UID), "apprun-driver")
    expect(driver.create(strict.path("apptasks"), task_body(name, owned=True, pod=FREE)))


def test_stored_app_keeps_a_field_that_was_taken_later(strict: World, name: str) -> None:
    """Until its spec is changed: a label isn't a reason to refuse."""
    held = app(name, pod=pod_of("labels"))
    operator = f"system:serviceaccount:strict-{strict.namespace}:strict-apprun"
    expect(strict.admin.impersonating(operator, "system:masters").create(strict.path("apps"), held))
    expect(strict.admin.patch(strict.path("apps", name), {"metadata": {"labels": {"team": "a"}}}))
    refused(strict.admin.patch(strict.path("apps", name), {"spec": {"image": "b:1"}}), NOT_ALLOWED)


def test_every_field_is_allowed_by_default(request: pytest.FixtureRequest, world: World) -> None:
    assert not [item for item in rendered(request, world.namespace) if "pod-fields" in item["metadata"]["name"]]


def test_each_rule_can_be_turned_off(request: pytest.FixtureRequest, world: World) -> None:
    switches = ("admissionPolicy.authors.createPods=false", "admissionPolicy.authors.useServiceAccounts=false")

    def checks(*values: str) -> tuple[bool, bool]:
        items = rendered(request, world.namespace, *values)
        text = yaml.safe_dump([item for item in items if item["kind"] == "ValidatingAdmissionPolicy"])
        return "resource('pods')" in text.replace("''", "'"), "check('use')" in text.replace("''", "'")

    assert checks() == (True, True)
    assert checks(switches[0]) == (False, True)
    assert checks(switches[1]) == (True, False)
    assert checks(*switches) == (False, False)
