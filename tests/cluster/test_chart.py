"""The chart: every toggle renders to what the API server takes without a doubt, and wrong values are told by name.

The API server itself judges, field by field (a server-side dry run with strict validation), also the objects of the
Prometheus operator, whose kinds the cluster knows meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hack import rights
from hack.chart_readme import CHART, values
from hack.cluster.binaries import KUBERNETES
from tests.support.bed import EXISTING, SYSTEM_NAMESPACE, Bed
from tests.support.kube import Object
from tests.support.third_party_crds import PROMETHEUS, definitions

DIGEST = f"sha256:{'0' * 64}"
MONITORS = ("metrics.serviceMonitor", "metrics.podMonitor", "metrics.prometheusRule")
MONITORING = {f"{one}.enabled": "true" for one in MONITORS}
ALL = {
    **MONITORING,
    "metrics.renderMode": "alwaysRender",
    "metrics.dashboard.enabled": "true",
    "networkPolicy.enabled": "true",
    "metrics.serviceMonitor.labels.release": "prometheus",
    "metrics.podMonitor.relabelings[0].targetLabel": "cluster",
    "metrics.podMonitor.relabelings[0].replacement": "here",
    "networkPolicy.metricsFrom[0].namespaceSelector.matchLabels.kubernetes\\.io/metadata\\.name": "monitoring",
    "networkPolicy.apiServerTo[0].ipBlock.cidr": "10.0.0.0/8",
}
NONE = {
    "crds.keep": "false",
    "rbac.aggregate": "false",
    "admissionPolicy.authors.createPods": "false",
    "admissionPolicy.authors.useServiceAccounts": "false",
    "flowControl.enabled": "false",
    "metrics.service.enabled": "false",
    "podDisruptionBudget.enabled": "false",
    "test.enabled": "false",
}
OTHERS = {
    "crds.enabled": "false",
    "serviceAccount.create": "false",
    "serviceAccount.name": "given",
    "image.digest": DIGEST,
    "runtimeImage.digest": DIGEST,
    "runtimeImage.pullPolicy": "Always",
    "imagePullSecrets[0].name": "registry",
    "priorityClassName": "system-cluster-critical",
    "podAnnotations.note": "x",
    "podLabels.note": "x",
    "nodeSelector.disk": "ssd",
    "topologySpreadConstraints[0].maxSkew": "1",
    "topologySpreadConstraints[0].topologyKey": "rack",
    "topologySpreadConstraints[0].whenUnsatisfiable": "DoNotSchedule",
    "extraEnv[0].name": "APPRUN_WORKERS",
    "extraEnv[0].value": "4",
    "podDisruptionBudget.maxUnavailable": "50%",
    "podFields.allowed": "{labels,volumes.csi}",
    "replicas": "3",
}
CASES = {"default": {}, "all": ALL, "none": NONE, "others": OTHERS}


def settings(given: dict[str, str]) -> list[str]:
    return [
        part
        for name, value in given.items()
        for part in ("--set-string" if name == "extraEnv[0].value" else "--set", f"{name}={value}")
    ]


def render(bed: Bed, given: dict[str, str], *options: str) -> str:
    command = (bed.helm, "template", "check", str(CHART), "--namespace", SYSTEM_NAMESPACE, "--kube-version", KUBERNETES)
    return bed.run(*command, *settings(given), *options).stdout


def objects(text: str) -> list[Object]:
    return [item for item in yaml.safe_load_all(text) if item]


def kinds(text: str) -> list[str]:
    return [item["kind"] for item in objects(text)]


def refusal(bed: Bed, *options: str) -> str:
    command = (bed.helm, "template", "check", str(CHART), "--kube-version", KUBERNETES)
    done = bed.run(*command, *options, check=False)
    assert done.returncode != 0, "it was taken"
    return done.stderr


@pytest.fixture(scope="module")
def monitored(bed: Bed) -> Iterator[Bed]:
    """The cluster, which knows the kinds of the Prometheus operator."""
    files = [part for path in definitions(PROMETHEUS) for part in ("-f", str(path))]
    known = "podmonitors.monitoring.coreos.com" in bed.run(bed.kubectl, "get", "crd", "-o", "name").stdout
    if not known:
        bed.define(*files)
    yield bed
    if not known:
        bed.run(bed.kubectl, "delete", *files)


def test_lint_finds_nothing(bed: Bed) -> None:
    done = bed.run(bed.helm, "lint", "--strict", str(CHART), "--kube-version", KUBERNETES)
    assert "0 chart(s) failed" in done.stdout
    assert "[WARNING]" not in done.stdout


def test_the_cases_turn_every_switch() -> None:
    switches = {value.path for value in values((CHART / "values.yaml").read_text()) if isinstance(value.default, bool)}
    turned: set[str] = set().union(*CASES.values())
    assert switches <= turned


def dry_run(bed: Bed, text: str) -> None:
    """Have the API server judge everything, strictly; nothing is kept."""
    found = objects(text)
    for item in found:
        if item["kind"] == "Pod":  # its account, a hook of the same text, isn't there
            item["spec"]["serviceAccountName"] = "default"
    command = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "--filename=-")
    bed.run(bed.kubectl, *command, stdin=yaml.safe_dump_all(found))


@pytest.mark.parametrize("case", CASES)
def test_the_api_server_takes_each_field_of_what_is_rendered(monitored: Bed, case: str) -> None:
    dry_run(monitored, render(monitored, CASES[case]))


def test_the_chart_for_a_list_of_namespaces_is_valid(monitored: Bed, namespace: str) -> None:
    text = render(monitored, {**ALL, "namespaces": f"{{{namespace}}}"})
    dry_run(monitored, text)
    roles = [item for item in objects(text) if item["kind"] == "ClusterRole"]
    bound = {item["roleRef"]["name"] for item in objects(text) if item["kind"] == "ClusterRoleBinding"}
    given = [role for role in roles if role["metadata"]["name"] in bound]
    # Whose token it is that somebody shows is asked of the whole cluster, or not at all.
    assert {resource for role in given for rule in role["rules"] for resource in rule["resources"]} <= {"tokenreviews"}


def test_a_field_that_nobody_knows_would_be_refused(monitored: Bed) -> None:
    """So the dry runs above can fail."""
    text = render(monitored, {}).replace("enableServiceLinks: false", "enableServiceLink: false", 1)
    with pytest.raises(AssertionError, match="enableServiceLink"):
        dry_run(monitored, text)


def test_a_namespaced_operator_has_fewer_rights(bed: Bed) -> None:
    def rules(given: dict[str, str], kind: str) -> list[Any]:
        found = [item for item in objects(render(bed, given)) if item["kind"] == kind]
        (role,) = [item for item in found if item["metadata"]["name"] == "check-apprun-operator"]
        return list(role["rules"])

    everywhere, here = rules({}, "ClusterRole"), rules({"namespaces": "{a}"}, "Role")
    assert [rule for rule in here if rule not in everywhere] == []
    more = {resource for rule in everywhere if rule not in here for resource in rule["resources"]}
    assert more == {
        "serviceaccounts",
        "rolebindings",
        "clusterrolebindings",
        "clusterroles",
        "customresourcedefinitions",
    }


def test_monitors_skip_themselves_where_their_kinds_are_missing(bed: Bed) -> None:
    wanted = {"ServiceMonitor", "PodMonitor"}
    assert not wanted & set(kinds(render(bed, MONITORING)))
    assert wanted <= set(kinds(render(bed, MONITORING, "--api-versions", "monitoring.coreos.com/v1")))
    assert wanted <= set(kinds(render(bed, {**MONITORING, "metrics.renderMode": "alwaysRender"})))


def test_all_pods_meet_the_restricted_standard(bed: Bed, namespace: str) -> None:
    """The test's namespace enforces it; pods of the operator and of `helm test` are tried there."""
    found = objects(render(bed, {}))
    pods = [item for item in found if item["kind"] == "Pod"]
    pods += [item["spec"]["template"] for item in found if item["kind"] == "Deployment"]
    assert len(pods) == 2
    for number, pod in enumerate(pods):
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"pod-{number}"}, "spec": pod["spec"]}
        body["spec"]["serviceAccountName"] = "default"
        dry = f"/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldValidation=Strict"
        bed.kube.create(dry, body)


def test_digest_wins_over_tag(bed: Bed) -> None:
    text = render(bed, {"image.repository": "here/op", "image.tag": "v1", "image.digest": DIGEST})
    (deployment,) = [item for item in objects(text) if item["kind"] == "Deployment"]
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"here/op@{DIGEST}"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("relicas=3", "'relicas' not allowed"),
        ("metrics.podMonitor.enable=true", "'enable' not allowed"),
        ("replicas=many", "replicas"),
        ("replicas=0", "replicas"),
        ("log.level=loud", "log/level"),
        ("image.digest=latest", "image/digest"),
        ("namespaces={Team_A}", "namespaces/0"),
        ("serviceAccount.create=false", "serviceAccount/name"),
        ("podDisruptionBudget.maxUnavailable=0", "podDisruptionBudget/maxUnavailable"),
    ],
)
def test_wrong_value_is_named(bed: Bed, given: str, words: str) -> None:
    assert words in refusal(bed, "--set", given)


def test_service_monitor_without_its_service_is_refused(bed: Bed) -> None:
    given = "metrics.serviceMonitor.enabled=true,metrics.service.enabled=false"
    assert "metrics/service/enabled" in refusal(bed, "--set", given)


def test_old_kubernetes_is_refused(bed: Bed) -> None:
    told = refusal(bed, "--kube-version", "1.29.9")
    assert "requires kubeVersion: >=1.30" in told
    assert "v1.29.9" in told


@pytest.mark.skipif(EXISTING, reason="the release of an existing cluster has other values")
def test_the_installation_matches_git_without_drift(bed: Bed) -> None:
    """Defaults of the API server, the operator's Lease and the like are no differences to a GitOps tool."""
    given = bed.run(bed.helm, "get", "values", "apprun", "--namespace", SYSTEM_NAMESPACE, "--output", "yaml").stdout
    text = bed.run(
        *(bed.helm, "template", "apprun", str(CHART), "--namespace", SYSTEM_NAMESPACE, "--kube-version", KUBERNETES),
        *("--no-hooks", "--values", "-"),
        stdin=given,
    ).stdout
    diff = ("diff", "--server-side", "--force-conflicts", "--field-manager=helm", "--filename=-")
    assert bed.run(bed.kubectl, *diff, stdin=text).stdout == ""


@pytest.mark.parametrize("namespaces", [(), ("team",)], ids=["all namespaces", "a list"])
def test_page_on_security_names_each_right_that_is_rendered(bed: Bed, namespaces: tuple[str, ...]) -> None:
    chosen = [part for place, name in enumerate(namespaces) for part in ("--set", f"namespaces[{place}]={name}")]
    command = (
        bed.helm,
        "template",
        "given",
        str(CHART),
        "--set",
        "fullnameOverride=given",
        "-n",
        "system",
        "--kube-version",
        KUBERNETES,
        *chosen,
    )
    documents = [each for each in yaml.safe_load_all(bed.run(*command).stdout) if each]
    found, _ = rights.of_documents(documents)
    known = {grant[1:] for right in rights.of_documents(rights.templates())[0] for grant in right.grants}
    for right in found:
        for _, *granted in right.grants:
            named = tuple(part.replace("given", rights.RELEASE) for part in granted)
            assert named in known, right
    assert len(found) > 20
